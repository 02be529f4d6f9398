"""`python -m stages use <preset>`: write ready params for a published study into params.yaml, keeping its comments.

A preset (presets/<name>.yaml) holds only what differs from presets/phantom.yaml, the shipped params.yaml, so presets
can follow each other in any order: each starts from that.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from . import study
from .shared.core import settings
from .shared.core.errors import UserError, unknown
from .shared.core.files import atomic
from .shared.core.paths import PARAMS

FOLDER = Path(__file__).parents[1] / "presets"
DEFAULT = "phantom"
# mappings whose keys and their order the user invents: taken whole, or normal/pneumonia would stay beside yes/no
WHOLE = (
    "validate.classes",
    "validate.mask",
    "validate.provided_split",
    "validate.severity",
    "download.phantom.findings",
)


def use(name: str | None, images: str | None = None) -> None:
    """Write the preset; with `images`, take them from that folder or archive instead of where the preset has them.

    Raises:
        UserError: no such preset, no such folder, or the result would not be valid; params.yaml is then as it was.
    """
    from ruamel.yaml import YAML

    presets = {path.stem: path for path in FOLDER.glob("*.yaml")}
    if name is None:
        print("\n".join(f"{stem:20} {headline(path)}" for stem, path in sorted(presets.items())))
        return
    if name not in presets:
        raise unknown("python -m stages use", name, presets)
    # nothing set, and lists over lines: the layout in which DVC writes params.yaml, so that `-S` changes what it has to
    yaml, plain = YAML(), YAML(typ="safe")
    document = yaml.load(PARAMS.read_text(encoding="utf-8"))
    layers = {stem: plain.load(path.read_text(encoding="utf-8")) or {} for stem, path in presets.items()}
    for layer in layers.values():
        forget(document, layer, layers[DEFAULT])
    for layer in (layers[DEFAULT], layers[name]):
        overlay(document, layer)
    if images is not None:
        path = Path(images).expanduser().resolve()
        if not path.exists():
            raise UserError(f"--images {images}: no such folder or archive.")
        overlay(document, {"download": {"source": "folder", "folder": {"path": str(path)}}})
    members = study.check(document)
    with atomic(PARAMS) as partial:
        yaml.dump(document, text := io.StringIO())
        # ruamel keeps the column of a comment, and pads where a value became shorter
        partial.write_text(re.sub(r"(?<=\S) +# ", " # ", text.getvalue()), encoding="utf-8")
        if settings.read(partial) != document:
            raise AssertionError(f"{PARAMS}: rewriting it with its comments would have changed its meaning; left alone")
    source = document["download"]["source"]
    detail = {"kaggle": "dataset", "folder": "path"}.get(source)
    where = f"{source} {document['download'][source][detail]}" if detail else source
    print(f"{PARAMS} is now {name}: {len(members)} models from {where}. Next: make run")


def headline(path: Path) -> str:
    """The first line of a preset is a comment that says what it is."""
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def forget(base: MutableMapping[str, Any], preset: Mapping[str, Any], default: Mapping[str, Any]) -> None:
    """Remove from `base` what a preset adds to `default`, in place."""
    for key, value in preset.items():
        inner: Any = base.get(key)
        if key not in default:
            base.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(inner, MutableMapping) and isinstance(default[key], Mapping):
            forget(inner, value, default[key])


def in_layout_of(old: Any, value: Any) -> Any:
    """A mapping that takes the place of one in braces is written in braces."""
    if not isinstance(value, Mapping) or not hasattr(old, "fa") or not old.fa.flow_style():
        return value
    result = type(old)(value)
    result.fa.set_flow_style()
    return result


def overlay(base: MutableMapping[str, Any], values: Mapping[str, Any], where: str = "") -> None:
    """Set `values` in `base`, mapping by mapping, in place: so the comments of `base` stay. A mapping that is taken
    whole, or a list, loses the comments inside it."""
    for key, value in values.items():
        path = f"{where}{key}"
        inner: Any = base.get(key)
        nested = isinstance(value, Mapping) and isinstance(inner, MutableMapping)
        # a strategy, or an optimiser, schedule or loss of another name, has keys of its own
        if nested and path not in WHOLE and "plan" not in value and value.get("name") in (None, inner.get("name")):
            overlay(inner, value, f"{path}.")
        elif key in base:
            base[key] = in_layout_of(inner, value)
        else:  # not at the end: the empty line below a section belongs to its last entry
            insert = getattr(base, "insert", lambda _, key, value: base.update({key: value}))
            insert(max(0, len(base) - 1), key, value)
