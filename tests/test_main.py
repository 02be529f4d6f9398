"""The way in: exit codes and last words."""

import argparse
import errno
import re
import shlex
import sys

import pytest
from ruamel.yaml import YAML

from stages import commands as entry
from stages import study
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
    arguments = entry.make_parser().parse_args([command, "--study"] if command == "drift" else [command])
    assert arguments.goes_on == f"python -m stages {command}"


def commands():
    """The parser of each command, by name."""
    (several,) = (action for action in entry.make_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return several.choices


@pytest.mark.parametrize("name", [*study.STAGES, *sorted(set(commands()) - set(study.STAGES))])
def test_every_command_says_what_it_does_reads_and_writes_and_its_example_is_right(name):
    text = commands()[name].format_help()
    assert all(f"\n{part}:" in text for part in ("Reads", "Writes", "Exit codes"))
    example = shlex.split(re.search(r"\nExample: +python -m stages (.+)", text)[1])
    assert example[0] == name
    assert entry.make_parser().parse_args(example).action
    assert max(map(len, text.partition("\noptions:")[0].splitlines()[3:])) <= 100


@pytest.mark.parametrize("stage", study.STAGES)
def test_the_help_of_a_stage_names_all_that_dvc_watches_and_keeps(stage, repository):
    pipeline = YAML(typ="safe").load((repository / "dvc.yaml").read_text())["stages"][stage]
    text = " ".join(commands()[stage].format_help().split())
    files = [path for path in [*pipeline["deps"], *pipeline["outs"]] if not path.startswith("stages/")]
    assert files
    assert all(path.replace("${key}", "<key>").strip("${}") in text for path in files)


def test_the_map_of_commands_has_every_command_and_every_option():
    lines = re.split(r"^python -m stages ", entry.__doc__, flags=re.M)
    on_map = {line.split()[0]: line for line in lines[1:]}
    for name, parser in commands().items():
        line = on_map["<stage>" if name in study.STAGES else name]
        options = [text for action in parser._actions for text in action.option_strings if text not in ("-h", "--help")]
        assert all(option in line for option in options), name
        named = [action for action in parser._actions if not action.option_strings]
        assert all(action.dest.upper() in line for action in named), name
    assert set(on_map) - {"<stage>"} == set(commands()) - set(study.STAGES)


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
