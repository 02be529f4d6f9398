"""What `python -m stages` can do, and how an error reaches the user.

python -m stages <stage> [--backbone B --strategy S --sample N]    run one stage, as dvc.yaml does
python -m stages parallel [--jobs N]                               the whole study, several models at a time
python -m stages tune [KEY] [--keep]                               search for better settings of one model
python -m stages check [--arrays]                                  params.yaml, without running anything
python -m stages use [PRESET] [--small] [--images FOLDER]          write a preset into params.yaml
python -m stages backbones                                         write docs/backbones.md anew
python -m stages params                                            write docs/params.md anew
python -m stages summary                                           the leaderboard, once more
python -m stages ui [--port P]                                     the runs in MLflow
python -m stages export [KEY] [--format FORMAT] [--int8]           a model for servers: models/onnx/<key>
python -m stages serve [--host H] [--port P] [--folder EXPORT | --champion]
                                                                   answer HTTP requests with it
python -m stages app [--host H] [--port P] [--folder EXPORT]       a page on which the model reads images
python -m stages gate [KEY] [--challenger]                         an exported model against the champion
python -m stages promote [--anyway REASON] [--why REMARK]          make it the champion
python -m stages rollback [--to VERSION] [--why REMARK]            back to the previous one
python -m stages log                                               who was champion, since when and why
python -m stages drift FOLDER | --served | --study [--model KEY]   are new images like those it was tested on?
python -m stages retrain [--promote] [--jobs N]                    pull, run, drift, gate, promote if asked

Each says more of itself: python -m stages <command> --help
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel

from . import backbones_table, checking, estimate, params_table, presets, study, tools, usage
from .parallel import dvc_lock
from .shared.core import settings
from .shared.core.allocator import keep_freed_memory
from .shared.core.credentials import without_credentials
from .shared.core.errors import UserError
from .shared.core.files import disk_full, read_json
from .shared.core.job import Job
from .shared.core.matrix import repro
from .shared.core.paths import PARAMS, Key, model_dir, project_root
from .shared.core.process import Terminated, is_main, sigterm_raises
from .shared.core.progress import clock
from .shared.tracking.store import check_usable, store
from .usage import Parser, description


def main(argv: Sequence[str] | None = None) -> int:
    if sys.platform == "win32":
        return complain(UserError("Lightbox runs on Linux and macOS. On Windows, run it inside WSL 2."))
    try:
        arguments = make_parser().parse_args(argv)
    except UserError as error:  # of a description
        return complain(error)
    return exit_code(lambda: arguments.action(arguments), getattr(arguments, "goes_on", "dvc repro"))


def exit_code(action: Callable[[], int | None], goes_on: str = "dvc repro") -> int:
    """Run the action, whose answer may be an exit code; an error or an interruption becomes a message and one.
    goes_on: the command that goes on where an interrupted one was."""
    try:
        with sigterm_raises():
            return action() or 0
    except UserError as error:
        return complain(error)
    except OSError as error:
        return complain(disk_full(project_root(), error) or unexpected(error))
    except Exception as error:
        return complain(unexpected(error))
    except KeyboardInterrupt:
        print(f"\nInterrupted. `{goes_on}` goes on from here.", file=sys.stderr)
        return 130
    except Terminated:
        print(f"Terminated. `{goes_on}` goes on from here; a training, from its last whole epoch.", file=sys.stderr)
        return 143


def unexpected(error: Exception) -> UserError:
    """Prints the traceback of an error that the code does not expect, and returns what the user can do."""
    print(without_credentials("".join(traceback.format_exception(error))), file=sys.stderr, end="")
    return UserError(
        f"{type(error).__name__}: {error}. This error was not expected. If the machine is not the cause (memory, disk, "
        "network), please report it with the lines above; `dvc repro` goes on from the last finished stage."
    )


def complain(error: UserError) -> int:
    for line in str(error).splitlines():
        print(f"error: {line}", file=sys.stderr)
    return 1


def make_parser() -> Parser:
    parser = Parser(
        prog="python -m stages", description="Run one stage of the pipeline, or ask about it.", epilog=usage.EVERY
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for stage, module in study.STAGES.items():
        does = (module.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(stage, help=does)
        command.describe = partial(usage.of_stage, stage, does, stage in study.PER_MEMBER)
        command.set_defaults(action=run_stage, stage=stage)
        if stage in study.PER_MEMBER:
            for axis in ("backbone", "strategy", "sample"):
                command.add_argument(f"--{axis}", required=True, help=f"a name from matrix.{axis}")
    checks = commands.add_parser(
        "check",
        help="Check params.yaml without running anything.",
        description=description(
            "Check every section of params.yaml, and ask the libraries about names of networks, weights and "
            "transforms. A wrong key or value is named with the valid ones. Runs nothing. Every stage and `make run` "
            "ask the same before any work.",
            reads="params.yaml, expectations.yaml, the images where they are a folder; with --arrays data/processed",
            writes="nothing but .lightbox/checked.txt, by which the same study is not asked about again",
            example="python -m stages check",
            codes="0 it is right, 1 it is not",
        ),
    )
    checks.add_argument("--arrays", action="store_true", help="only whether data/processed has what it asks for")
    checks.set_defaults(action=check)
    use = commands.add_parser(
        "use",
        help="Write a preset into params.yaml, keeping comments.",
        description=description(
            "Write a preset, the settings of a known study, into params.yaml. Comments stay. Says how long the study "
            "will train on this machine. Without a name it lists the presets.",
            reads="presets/<preset>.yaml",
            writes="params.yaml",
            example="python -m stages use chest_xray --small --images ~/films",
        ),
    )
    use.add_argument("preset", nargs="?", help="its name; without one, list them")
    use.add_argument("--images", help="folder or archive of images (sets download to it)")
    use.add_argument("--small", action="store_true", help="its short form, which a CPU can train")
    use.set_defaults(action=use_preset)
    table = commands.add_parser(
        "backbones",
        help="Write docs/backbones.md: a table of the backbones of params.yaml.",
        description=description(
            "Write the table of all declared networks: parameters, input size, blocks. For those who declare one.",
            reads="params.yaml: backbones",
            writes="docs/backbones.md",
            example="python -m stages backbones",
        ),
    )
    table.set_defaults(action=lambda _: backbones_table.write(settings.read()))
    reference = commands.add_parser(
        "params",
        help="Write docs/params.md: every setting of params.yaml.",
        description=description(
            "Write the reference of all settings from the docstrings of the code. For those who add a setting.",
            reads="the code",
            writes="docs/params.md",
            example="python -m stages params",
        ),
    )
    reference.set_defaults(action=lambda _: params_table.write())
    board = commands.add_parser(
        "summary",
        help="Print the leaderboard.",
        description=description(
            "Print the leaderboard of the last comparison, the path of the report and the command that opens MLflow.",
            reads="reports/compare/leaderboard.csv",
            writes="nothing",
            example="python -m stages summary",
        ),
    )
    board.set_defaults(action=lambda _: study.STAGES["compare"].show())
    ui = commands.add_parser(
        "ui",
        help="Show the runs in MLflow.",
        description=description(
            "Start MLflow's server on this machine alone, print the address of a page with all models, and open it "
            "where there is a screen. Ctrl-C ends it.",
            reads="mlflow.db, mlartifacts/",
            writes="nothing",
            example="python -m stages ui --port 5001",
        ),
    )
    ui.add_argument("--port", type=int, default=5000, help="of this machine; default: 5000")
    ui.set_defaults(action=show_ui)
    tools.add_commands(commands)
    return parser


def run_stage(arguments: argparse.Namespace) -> None:
    """Check all of params.yaml, open the MLflow run, call the stage, log what comes back."""
    from .shared.tracking.recording import recording

    stage = arguments.stage
    key = Key(arguments.backbone, arguments.strategy, arguments.sample) if stage in study.PER_MEMBER else None
    raw, since = settings.read(), time.monotonic()
    keys = checking.check_all(raw)
    tools.check(raw)
    resolved = study.resolve(stage, raw, key)
    if key is not None:  # a stage that computes with a network
        checking.check_data(raw)
        keep_freed_memory()
    if not is_main():  # another process of this training has the run and the outputs
        study.STAGES[stage].run(resolved, Job(key))
        return
    if key in keys:
        print(f"{stage}: model {keys.index(key) + 1} of {len(keys)}", file=sys.stderr)
    settings_of_study = {name: section for name, section in raw.items() if name not in study.TABLES}
    about = (study.STAGES[stage].__doc__ or "").partition("\n")[0]
    title = f"{raw['task']}, {study.source_in_words(raw)}"
    with recording(stage, key, logged_params(stage, key, resolved), settings_of_study, about, title) as recorder:
        recorder.result = study.STAGES[stage].run(resolved, Job(key, recorder.report))
    recorder.result.discard()
    print(f"{stage}: done in {clock(time.monotonic() - since)}", file=sys.stderr)


def use_preset(arguments: argparse.Namespace) -> None:
    if arguments.preset is None:
        presets.list_all()
        return
    about = presets.use(arguments.preset, arguments.images, arguments.small)
    estimate.show(settings.read(), about.images, about.download_gb)


def show_ui(arguments: argparse.Namespace) -> None:
    from .shared.tracking import ui

    ui.show(arguments.port)


def logged_params(stage: str, key: Key | None, resolved: BaseModel) -> dict[str, Any]:
    """The params an MLflow run shows: the stage's own, and after training also those of its model, so that
    test metrics stand beside every hyperparameter."""
    own = {stage: resolved.model_dump(mode="json")}
    if key is None or stage == "train":
        return own
    path = model_dir(key) / "recipe.json"
    if not path.exists():
        raise UserError(f"{path}: missing. Run {repro('train', key)}.")
    recipe = read_json(path)
    return {**own, "train": recipe["params"], "preprocess": recipe["preprocess"]}


def check(arguments: argparse.Namespace) -> None:
    if arguments.arrays:
        checking.check_data(settings.read())
        return
    raw = settings.read()
    keys = checking.members(checking.check_all(raw, anew=True))
    tools.check(raw)
    checking.check_source(raw)
    check_usable(store()[0])
    dvc_lock.check()
    print(f"{PARAMS}: fine. {len(keys)} models: {', '.join(map(str, keys))}.")
