"""What Streamlit runs, at every click: the model, and three tabs."""

from __future__ import annotations

from stages.serve.app import tabs

tabs.show()
