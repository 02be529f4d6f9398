"""Passwords and tokens in addresses never reach a message, a log or a table."""

import pickle

import pytest

from stages import commands as entry
from stages.retrain import remote, summary
from stages.shared.core.credentials import without_credentials
from stages.shared.core.errors import Untrainable, UserError
from stages.shared.tracking.aliases import refusals

SECRET = "gh_pat_0"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://ann:gh_pat_0@example.org/a.git", "https://example.org/a.git"),
        ("https://gh_pat_0@example.org/a.git", "https://example.org/a.git"),  # a token in the user's place
        ("https://oauth2:gh_pat_0@example.org:8443/a.git", "https://example.org:8443/a.git"),
        ("webdavs://ann:gh_pat_0@example.org/x", "webdavs://example.org/x"),
        ("ssh://ann:gh_pat_0@example.org/srv", "ssh://ann@example.org/srv"),
        ("postgresql://ann:gh_p@t_0@db/x", "postgresql://ann@db/x"),
        ("postgresql://ann:gh_/pat_0@db/x", "postgresql://ann@db/x"),
        ("mysql+pymysql://ann:gh'pat_0@db/x", "mysql+pymysql://ann@db/x"),
        ("https://a.org/x?v=1&sig=gh_pat_0&w=2", "https://a.org/x?v=1&sig=…&w=2"),
        ("https://a.org/x?token=gh_pat_0", "https://a.org/x?token=…"),
        ("x" * 200_000, "x" * 200_000),  # such as a line of a log that holds no space
        ("ssh://ann@example.org/srv", "ssh://ann@example.org/srv"),
        ("git@example.org:study.git", "git@example.org:study.git"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("ask ann@example.org or https://example.org/x", "ask ann@example.org or https://example.org/x"),
        ("'https://gh_pat_0@a.org' and 'https://b:gh_pat_0@c.org/d'", "'https://a.org' and 'https://c.org/d'"),
    ],
)
def test_an_address_is_shown_without_its_credentials(address, shown):
    assert without_credentials(address) == shown
    assert str(UserError(f"{address} does not answer")) == f"{shown} does not answer"


def test_an_error_that_came_from_another_process_is_shown_likewise():
    error = Untrainable(f"https://{SECRET}@example.org: no", reason="no")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.reason) == ("https://example.org: no", "no")


def test_the_traceback_of_an_unexpected_error_shows_none(capsys):
    def fails():
        raise ValueError(f"no answer from https://ann:{SECRET}@example.org/api")

    assert entry.exit_code(fails) == 1
    output = capsys.readouterr().err
    assert "no answer from https://example.org/api" in output
    assert SECRET not in output


def test_what_mlflow_refuses_shows_none():
    import requests

    with (
        pytest.raises(UserError, match=r"Registry: https://example.org/mlflow\.") as caught,
        refusals(f"https://ann:{SECRET}@example.org/mlflow"),
    ):
        raise requests.ConnectionError(f"GET https://ann:{SECRET}@example.org/mlflow/api failed")
    assert SECRET not in str(caught.value)


def test_what_dvc_says_of_a_remote_shows_none_in_the_log_and_the_summary_of_a_round(monkeypatch, workspace, capsys):
    line = f"ERROR: unable to reach 'webdavs://ann:{SECRET}@example.org/x'"

    def run(command, **_):
        return type("Done", (), {"returncode": 255, "stdout": "", "stderr": line})

    monkeypatch.setattr(remote.subprocess, "run", run)
    with pytest.raises(UserError) as caught:
        remote.pull(("storage", "webdavs://example.org/x"))
    text = summary.of_failure(str(caught.value))
    printed = capsys.readouterr().err
    assert "unable to reach 'webdavs://example.org/x'" in printed
    assert SECRET not in printed + text
