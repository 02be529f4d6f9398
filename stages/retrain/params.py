"""What a user may say about a round of retraining."""

from __future__ import annotations

from ..shared.core.settings import Settings


class Params(Settings):
    """`python -m stages retrain`."""

    promote: bool = False
    """Put a model that passes the gate in use, without asking a human."""
    remote: str | None = None
    """Name of DVC's remote that keeps data, models and reports between rounds; null: the default one. Without any
    remote they stay on this machine."""
    push: bool = True
    """Send what was made to the remote."""
    drift: bool = True
    """Compare new images with those that the champion was tested on, before it is judged."""
