"""Data Docs that can be read without network: a front page of our own, and a little style in each page of
theirs.

Great Expectations' pages take their style from the web, and their index is drawn by a script from there: from
disk, without network, it stays empty.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_BASE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1b2026;max-width:72rem;margin:2rem auto;padding:0 1.5rem}
table{border-collapse:collapse}
th,td{text-align:left;vertical-align:top;padding:.4rem .8rem;border-bottom:1px solid #e3e6e9}
"""
_FRONT = """
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2.2rem}table{width:100%}
th{color:#66707b;font-weight:600;font-size:.85rem}td.n{text-align:right;font-variant-numeric:tabular-nums}
.facts{color:#66707b}.pill{border-radius:1rem;padding:.1rem .7rem;font-size:.8rem;white-space:nowrap;font-weight:600}
.passed{background:#e5f1f8;color:#0072b2}.critical{background:#fbe9df;color:#b34a00}
.warning{background:#fdf3d9;color:#7d5a00}.info{background:#eef0f2;color:#4a535c}
ul{margin:.3rem 0 0;padding-left:1.1rem;color:#66707b;font-size:.85rem}li{overflow-wrap:anywhere}
"""


def finish(docs: Path, summary: Mapping[str, Any]) -> None:
    """Keep Great Expectations' index as overview.html, put the front page in its place, style the other
    pages."""
    (docs / "index.html").rename(docs / "overview.html")
    pages = sorted((p for p in docs.rglob("*.html") if p.name != "overview.html"), reverse=True)  # results first
    for page in pages:
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace("<head>", f"<head><style>{_BASE}</style>", 1), encoding="utf-8")
    links = [p.relative_to(docs) for p in pages]
    (docs / "index.html").write_text(front(summary, links), encoding="utf-8")


def front(summary: Mapping[str, Any], links: Sequence[Path]) -> str:
    """validation.json as a page."""
    clean = all(c["success"] for c in summary["checks"] if c["severity"] == "critical")
    verdict = "All critical checks passed" if clean else "The images that are kept pass all critical checks"
    verdict = verdict if summary["success"] else "Critical checks failed"
    counts = ", ".join(f"{html.escape(label)} {count}" for label, count in summary["classes"].items())
    checks = sorted(summary["checks"], key=lambda c: c["success"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Validation</title>'
        f"<style>{_BASE}{_FRONT}</style></head><body><h1>{verdict}</h1>"
        f"<p class=facts>{summary['images']} images of {summary['patients']} patients; "
        f"{summary['quarantined']} set aside; kept: {counts}.</p>"
        "<table><tr><th>Result<th>Check<th>What is expected<th>Failed</tr>"
        + "".join(_row(check) for check in checks)
        + "</table><h2>Great Expectations' own pages</h2><ul>"
        + "".join(f'<li><a href="{html.escape(link.as_posix())}">{_title(link)}</a>' for link in links)
        + '<li><a href="overview.html">Their overview</a> (needs the network)</ul></body></html>\n'
    )


def _row(check: Mapping[str, Any]) -> str:
    kind, word = ("passed", "passed") if check["success"] else (check["severity"],) * 2
    more = check["failed"] - len(check["examples"])
    names = [f"<li>{html.escape(name)}" for name in check["examples"]]
    names += [f"<li>and {more} more"] if names and more > 0 else []
    examples = f"<ul>{''.join(names)}</ul>" if names else ""
    return (
        f"<tr><td><span class='pill {kind}'>{word}</span><td><code>{html.escape(check['name'])}</code>"
        f"<td>{html.escape(check['description'])}{examples}<td class=n>{check['failed'] or ''}</tr>"
    )


def _title(link: Path) -> str:
    kind, table = ("Results", link.parts[1]) if link.parts[0] == "validations" else ("Expectations", link.stem)
    return f"{kind}: {html.escape(table)}"
