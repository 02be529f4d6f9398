"""Tab: several images -> a table and a CSV file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import streamlit as st

from ...shared.core.errors import UserError
from ...shared.images.archive import Archive
from . import one_image
from .reader import Reader

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def show(reader: Reader, archive: Archive) -> None:
    uploads = st.file_uploader(
        "PNG, JPEG, TIFF, BMP or DICOM, as many as you like; not stored", accept_multiple_files=True
    )
    files = [(upload.name, upload.getvalue()) for upload in uploads]
    key = (reader.state, *(upload.file_id for upload in uploads))
    if not files and reader.examples and st.toggle("Try it with the examples", key="try_examples"):
        files = [(f"example {i + 1} ({e.kind})", e.read(archive)) for i, e in enumerate(reader.examples)]
    if files:
        show_table(reader, read(reader, files, key))


def read(reader: Reader, files: Sequence[tuple[str, bytes]], key: tuple[str, ...]) -> list[dict[str, Any]]:
    """The last table stays with the session, since every click runs the page again."""
    if "table" not in st.session_state or st.session_state["table"][0] != key:
        bar, done = st.progress(0.0, text="Reading images"), list[dict[str, Any]]()
        for row in table(reader, files):
            done.append(row)
            bar.progress(len(done) / len(files), text=f"{len(done)} of {len(files)} images")
        bar.empty()
        st.session_state["table"] = key, done
    rows: list[dict[str, Any]] = st.session_state["table"][1]
    return rows


def table(reader: Reader, files: Sequence[tuple[str, bytes]]) -> Iterator[dict[str, Any]]:
    """One row for each (name, bytes); one that cannot be read says why in its note."""
    classes = reader.export.classes
    empty = {"answer": None, **dict.fromkeys(classes), "above threshold": None}
    for name, data in files:
        try:
            answer = reader.read(data).answer
        except UserError as error:
            yield {
                "file": name,
                **empty,
                "not ruled out": None,
                "leave to a human": None,
                "note": one_image.readable(error),
            }
            continue
        decision = answer.decision
        yield {
            "file": name,
            "answer": decision.predicted,
            **{own: float(p) for own, p in zip(classes, answer.probabilities, strict=True)},
            "above threshold": decision.above_threshold,
            "not ruled out": ", ".join(decision.prediction_set),
            "leave to a human": decision.abstain,
            "note": answer.reading,
        }


def show_table(reader: Reader, rows: Sequence[dict[str, Any]]) -> None:
    import pandas as pd

    frame = pd.DataFrame(rows)
    above, left = (sum(row[name] is True for row in rows) for name in ("above threshold", "leave to a human"))
    unread = sum(row["answer"] is None for row in rows)
    st.html(
        f'<div class="lb"><p class="reading">{len(frame)} images: {above} above the threshold, '
        f"{left} to leave to a human{f', {unread} that cannot be read' if unread else ''}.</p></div>"
    )
    columns = {
        name: st.column_config.ProgressColumn(f"{name}, %", min_value=0.0, max_value=1.0, format="percent")
        for name in reader.export.classes
    }
    st.dataframe(frame, hide_index=True, column_config=columns, width="stretch")
    st.download_button("Download as CSV", csv(reader, frame), "lightbox.csv", "text/csv", icon=":material/download:")


def csv(reader: Reader, frame: Any) -> str:
    """With the model that answered. A name that a spreadsheet would take for a formula gets an apostrophe."""
    safe = frame.assign(
        file=[f"'{name}" if name.startswith(FORMULA) else name for name in frame["file"]],
        model=reader.export.recipe.key,
        version=reader.version,
    )
    text: str = safe.to_csv(index=False)
    return text
