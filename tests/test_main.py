"""The way in: exit codes and last words."""

import errno
import sys

import pytest

from stages import commands as entry
from stages.parallel import dvc_lock
from stages.shared.core.errors import UserError


def fail_with(monkeypatch, error):
    def check(_):
        raise error

    monkeypatch.setattr(entry, "check", check)


@pytest.mark.parametrize(
    ("error", "code", "last"),
    [
        (UserError("a.png: bad. Mend it."), 1, "error: a.png: bad. Mend it."),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 1, "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "data/raw.zip"), 1, "data/raw.zip"),
        (ZeroDivisionError("division by zero"), 1, "ZeroDivisionError: division by zero. This error was not expected."),
        (KeyboardInterrupt(), 130, "Interrupted. `dvc repro` goes on from here."),
    ],
)
def test_every_failure_ends_with_a_sentence_and_a_code(monkeypatch, capsys, error, code, last):
    fail_with(monkeypatch, error)
    assert entry.main(["check"]) == code
    assert last in capsys.readouterr().err.splitlines()[-1]


def test_an_interrupted_search_names_the_command_that_goes_on(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("stages.tune.command.run", interrupted)
    assert entry.main(["tune"]) == 130
    assert capsys.readouterr().err.endswith("Interrupted. `python -m stages tune` goes on from here.\n")


@pytest.mark.parametrize("command", ["retrain", "gate", "promote", "rollback", "export", "drift"])
def test_a_tool_names_itself_as_what_goes_on(command):
    arguments = entry.arguments_of([command, "--study"] if command == "drift" else [command])
    assert arguments.goes_on == f"python -m stages {command}"


def test_an_unknown_command_lists_the_right_ones(capsys):
    with pytest.raises(SystemExit) as caught:
        entry.main(["trian"])
    assert caught.value.code == 2
    assert "train" in capsys.readouterr().err


def test_windows_is_refused_in_words(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    assert entry.main(["check"]) == 1
    assert "On Windows, run it inside WSL 2" in capsys.readouterr().err


def test_a_lock_file_of_dvc_that_was_cut_off_is_named_with_the_remedy(workspace, monkeypatch):
    monkeypatch.setattr(dvc_lock, "WRITING", 0.0)
    path = workspace / ".dvc/tmp/rwlock"
    dvc_lock.check()
    path.parent.mkdir(parents=True)
    path.write_text('{"read": {}, "write": {}}')
    dvc_lock.check()
    path.write_text("")
    with pytest.raises(UserError, match=r"rwlock: damaged: .*delete the file and run this again"):
        dvc_lock.check()


def test_a_lock_file_that_dvc_is_just_writing_is_read_again(workspace, monkeypatch):
    path = workspace / ".dvc/tmp/rwlock"
    path.parent.mkdir(parents=True)
    path.write_text("")
    monkeypatch.setattr(dvc_lock.time, "sleep", lambda _: path.write_text("{}"))
    dvc_lock.check()


@pytest.mark.parametrize(("answer", "code"), [(None, 0), (0, 0), (3, 3), (4, 4)])
def test_the_number_that_an_action_returns_is_the_exit_code(answer, code):
    assert entry.exit_code(lambda: answer) == code
