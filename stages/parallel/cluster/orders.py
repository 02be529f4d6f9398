"""What one worker has to do: the stages to run, what these read, and the part of dvc.lock that names that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dvc.repo import Repo

LOCK = Path("dvc.lock")


@dataclass(frozen=True)
class Stage:
    """deps, outs: paths. outs: only those that DVC caches."""

    deps: tuple[str, ...]
    outs: tuple[str, ...]


def stages_of(repo: Repo) -> dict[str, Stage]:
    """By the name that DVC knows a stage by, such as train@a-b-c."""
    return {
        stage.addressing: Stage(
            tuple(dep.def_path for dep in stage.deps), tuple(out.def_path for out in stage.outs if out.use_cache)
        )
        for stage in repo.index.stages
    }


def inputs(targets: Sequence[str], stages: Mapping[str, Stage]) -> list[str]:
    """What the targets read, that other stages make. Everything else they read is in git."""
    own = [out for target in targets for out in stages[target].outs]
    others = [out for name, stage in stages.items() if name not in targets for out in stage.outs]
    deps = {dep for target in targets for dep in stages[target].deps}
    return sorted(dep for dep in deps if lies_in(dep, others) and not lies_in(dep, own))


def lies_in(path: str, places: Iterable[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def lock_for(paths: Sequence[str], lock: Mapping[str, Any], stages: Mapping[str, Stage]) -> str:
    """Text of a dvc.lock with the stages that made these paths, and no others: what a worker finds there, it does not
    run again."""
    from dvc.utils.serialize import dumps_yaml

    makers = [name for name, stage in stages.items() if any(lies_in(path, stage.outs) for path in paths)]
    return str(dumps_yaml({"schema": lock["schema"], "stages": {name: lock["stages"][name] for name in makers}}))


def read_lock() -> dict[str, Any]:
    from dvc.utils.serialize import parse_yaml

    return dict(parse_yaml(LOCK.read_text(encoding="utf-8"), str(LOCK)))
