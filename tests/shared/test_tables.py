"""Tables as people save them, and which file a cell means."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.shared.core.errors import UserError
from stages.shared.images.tables import Files, read_table

PATIENTS = pd.DataFrame({"file": ["a.png", "b.png"], "finding": ["normal", "oedema, mild"], "age": [34.0, None]})


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_csv_is_read_in_each_form_that_spreadsheets_write(separator: str, encoding: str, newline: str):
    text = PATIENTS.to_csv(index=False, sep=separator, lineterminator=newline)
    table = read_table(text.encode(encoding), "labels.csv")
    assert table.to_dict("list") == {
        "file": ["a.png", "b.png"], "finding": ["normal", "oedema, mild"], "age": ["34.0", None],
    }  # fmt: skip


def test_a_parquet_file_gives_the_same_text():
    buffer = io.BytesIO()
    PATIENTS.assign(target=[0, 1], boxes=[["a", "b"], []]).to_parquet(buffer)
    table = read_table(buffer.getvalue(), "labels.parquet")
    assert table.to_dict("list") == {
        "file": ["a.png", "b.png"], "finding": ["normal", "oedema, mild"], "age": ["34", None], "target": ["0", "1"],
        "boxes": [["a", "b"], None],
    }  # fmt: skip


@settings(max_examples=100, deadline=None, derandomize=True)
@given(rows=st.lists(st.lists(st.text(st.sampled_from('ab ",;é\n\t')), min_size=2, max_size=2), min_size=1))
def test_every_cell_that_pandas_writes_is_read_back(rows: list[list[str]]):
    cells = [[cell.strip() or None for cell in row] for row in rows]
    text = pd.DataFrame(rows, columns=["one", "two"]).to_csv(index=False)
    assert read_table(text.encode(), "x.csv").to_numpy().tolist() == cells


@pytest.mark.parametrize(("data", "message"), [
    (b"", "has no rows"),
    (b"file,label\n", "has no rows"),
    ("file,label\nfilm1,Ödem\n".encode("latin-1"), "line 2 is not UTF-8"),
    (b"file,label\nfilm1,a\nfilm2,a,b\n", "line 3 has 3 cells and the first line 2"),
    (b"file,label\nfilm1\n", "line 2 has 1 cells and the first line 2"),
    (b'file,label\nfilm1,"a\n', "line 2 is not readable as CSV"),
    (b"file,label,label\nfilm1,a,b\n", "has the column 'label' twice"),
])  # fmt: skip
def test_a_damaged_csv_is_named_with_its_line(data: bytes, message: str):
    with pytest.raises(UserError, match=rf"^labels\.csv: {message}"):
        read_table(data, "labels.csv")


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(60) + b"PAR1"])
def test_a_damaged_parquet_file_is_named(data: bytes):
    with pytest.raises(UserError, match=r"^labels\.parquet: not readable as Parquet"):
        read_table(data, "labels.parquet")


FILES = Files(["set/images/a.png", "set/images/b.png", "set/masks/a.png", "other/c.dcm", "caf\u00e9.png", "1.2.840.1"])


@pytest.mark.parametrize(("cell", "meant"), [
    ("set/images/a.png", ["set/images/a.png"]),
    ("images\\a.png", ["set/images/a.png"]),
    ("./other/c", ["other/c.dcm"]),
    ("b", ["set/images/b.png"]),
    ("a.png", ["set/images/a.png", "set/masks/a.png"]),
    ("mages/a.png", []),
    ("B.png", []),
    ("cafe\u0301", ["caf\u00e9.png"]),
    ("1.2.840.1", ["1.2.840.1"]),
    ("", []),
])  # fmt: skip
def test_a_cell_means_a_name_its_end_or_either_without_the_suffix(cell: str, meant: list[str]):
    assert FILES.meant(cell) == meant
