"""Data Docs that can be read without network: a front page of our own, and a little style in each page of theirs.

Great Expectations' pages take their style from the web, and a script from there draws their index: without network
it stays empty.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

if TYPE_CHECKING:
    from .shortcuts.measure import Measurement

TEMPLATES = Path(__file__).parent / "templates"


def finish(
    docs: Path, summary: Mapping[str, Any], reasons: Mapping[str, str], shortcuts: Measurement | None = None
) -> None:
    """Keep Great Expectations' index as overview.html, put the front page in its place, style the other pages.

    `reasons`: path -> what is wrong, of each image that fails a critical check.
    """
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    (docs / "index.html").rename(docs / "overview.html")
    pages = sorted((p for p in docs.rglob("*.html") if p.name != "overview.html"), reverse=True)  # results first
    for page in pages:
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace("<head>", f"<head><style>{style}</style>", 1), encoding="utf-8")
    front_page = front(summary, reasons, [page.relative_to(docs) for page in pages], style, shortcuts)
    (docs / "index.html").write_text(front_page, encoding="utf-8")


def front(
    summary: Mapping[str, Any], reasons: Mapping[str, str], links: Sequence[Path], style: str,
    shortcuts: Measurement | None = None,
) -> str:  # fmt: skip
    """validation.json and the reasons as a page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    clean = all(check["success"] for check in summary["checks"] if check["severity"] == "critical")
    verdict = "All critical checks passed" if clean else "The images that are kept pass all critical checks"
    return environment.get_template("front.html.j2").render(
        summary,
        reasons=reasons,
        shortcuts=None if shortcuts is None else shortcuts.numbers,
        pictures=[] if shortcuts is None else [data_uri(mean) for mean in shortcuts.pictures["means"]],
        verdict=verdict if summary["success"] else "Critical checks failed",
        links=links,
        style=Markup(style),
    )


def data_uri(picture: np.ndarray) -> str:
    """uint8 H×W as a PNG inside the page."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
