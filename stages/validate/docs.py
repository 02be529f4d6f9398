"""Data Docs that can be read without network: a front page of our own, and a little style in each page of theirs.

Great Expectations' pages take their style from the web, and a script from there draws their index: without network
it stays empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


def finish(docs: Path, summary: Mapping[str, Any], reasons: Mapping[str, str]) -> None:
    """Keep Great Expectations' index as overview.html, put the front page in its place, style the other pages.

    `reasons`: path -> what is wrong, of each image that fails a critical check.
    """
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    (docs / "index.html").rename(docs / "overview.html")
    pages = sorted((p for p in docs.rglob("*.html") if p.name != "overview.html"), reverse=True)  # results first
    for page in pages:
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace("<head>", f"<head><style>{style}</style>", 1), encoding="utf-8")
    front_page = front(summary, reasons, [page.relative_to(docs) for page in pages], style)
    (docs / "index.html").write_text(front_page, encoding="utf-8")


def front(summary: Mapping[str, Any], reasons: Mapping[str, str], links: Sequence[Path], style: str) -> str:
    """validation.json and the reasons as a page."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    clean = all(check["success"] for check in summary["checks"] if check["severity"] == "critical")
    verdict = "All critical checks passed" if clean else "The images that are kept pass all critical checks"
    return environment.get_template("front.html.j2").render(
        summary,
        reasons=reasons,
        verdict=verdict if summary["success"] else "Critical checks failed",
        links=links,
        style=Markup(style),
    )
