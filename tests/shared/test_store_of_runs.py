"""Before any work: can MLflow's database be used?"""

from __future__ import annotations

import sqlite3

import pytest

from stages.shared.core.errors import UserError
from stages.shared.tracking import store


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "TIMEOUT", 0.1)
    return tmp_path / "mlflow.db"


def check(path):
    store.check_usable(f"sqlite:///{path}")


def make(path, table):
    with sqlite3.connect(path) as database:
        database.execute(f"CREATE TABLE {table} (x INT)")
    database.close()


def test_a_file_that_is_not_there_yet_is_empty_or_mlflows_is_fine(path):
    check(path)
    path.touch()
    check(path)
    make(path, "experiments")
    check(path)


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\x00" + b"\xff" * 4000])
def test_a_damaged_file_is_named(path, content):
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"mlflow\.db: MLflow cannot write .*move it away.*Nothing has been computed"):
        check(path)


def test_another_programs_database_is_named(path):
    make(path, "films")
    with pytest.raises(UserError, match=r"mlflow\.db: a database, but not MLflow's"):
        check(path)


def test_a_locked_one_is_named(path):
    make(path, "experiments")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match=r"cannot write to its database \(database is locked\)"):
        check(path)
    other.close()
