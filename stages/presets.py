"""`python -m stages use <preset>`: write ready params for a published study into params.yaml, keeping its comments.

A preset (presets/<name>.yaml) holds only what differs from presets/phantom.yaml, the shipped params.yaml, so presets
can follow each other in any order: each starts from that. Two of its sections are not settings: `about` says how many
images there are and how large the download is, and `small` is laid over the rest for a short form of the study
(`--small`) that a CPU can train, with networks whose weights need no download.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from . import checking, study
from .params_file import overlay, rewriting
from .shared.core.errors import UserError, unknown
from .shared.core.paths import PARAMS
from .shared.core.settings import Settings, parse
from .shared.core.task import NEEDS

FOLDER = Path(__file__).parents[1] / "presets"
DEFAULT = "phantom"
# mappings whose keys and their order the user invents: taken whole, or normal/pneumonia would stay beside yes/no
WHOLE = (
    "validate.classes",
    "validate.labels",
    "validate.mask",
    "validate.provided_split",
    "validate.severity",
    "download.phantom.findings",
    "tune.space",
)


class About(Settings):
    """What is told about a preset before anything is downloaded."""

    images: int | None = Field(default=None, ge=1)
    """How many the published set has; null: the preset draws them itself."""
    download_gb: float = Field(default=0, ge=0)


@dataclass(frozen=True)
class Preset:
    """`params`: the settings that differ from the shipped ones. `small`: those that differ in the short form."""

    headline: str
    """The first line of the file, a comment that says what it is."""
    params: Mapping[str, Any]
    small: Mapping[str, Any]
    about: About

    @classmethod
    def read(cls, path: Path) -> Preset:
        from ruamel.yaml import YAML

        text = path.read_text(encoding="utf-8")
        params = YAML(typ="safe").load(text) or {}
        small, about = params.pop("small", {}), parse(About, params.pop("about", {}), "about")
        return cls(text.partition("\n")[0].lstrip("# "), params, small, about)


def all_presets() -> dict[str, Preset]:
    return {path.stem: Preset.read(path) for path in sorted(FOLDER.glob("*.yaml"))}


def list_all() -> None:
    for name, preset in all_presets().items():
        print(f"{name:20} {preset.headline}{' (has a --small form)' if preset.small else ''}")


def use(name: str, images: str | None = None, small: bool = False) -> About:
    """Write the preset, or its short form; with `images`, take them from that folder or archive instead of where the
    preset has them.

    Raises:
        UserError: no such preset, none of a short form, no such folder, or the result would not be valid; params.yaml
            is then as it was.
    """
    presets = all_presets()
    if name not in presets:
        raise unknown("python -m stages use", name, presets)
    if small and not presets[name].small:
        having = ", ".join(other for other, preset in presets.items() if preset.small)
        raise UserError(f"python -m stages use {name} --small: it has no short form. Those that have: {having}.")
    default = presets[DEFAULT].params
    with rewriting() as document:
        for preset in presets.values():
            forget(document, preset.params, default)
            forget(document, preset.small, default)
        for layer in (default, presets[name].params, presets[name].small if small else {}):
            overlay(document, layer, WHOLE)
        if images is not None:
            path = Path(images).expanduser().resolve()
            if not path.exists():
                raise UserError(f"--images {images}: no such folder or archive.")
            overlay(document, {"download": {"source": "folder", "folder": {"path": str(path)}}}, WHOLE)
            if document["validate"]["mask"] is not None and not checking.has_masks(document):
                forget_masks(document, name, images)
        members = checking.check(document)
    form = f"the short form of {name}" if small else name
    print(f"{PARAMS} is now {form}: {len(members)} models from {study.source_in_words(document)}. Next: make run")
    if images is not None:
        warn_of_misfit(document)
    if images is not None and document["download"]["privacy"] == "keep":
        print(
            "Names of files and DICOM headers stay as they are, as suits a public set (download.privacy: keep). For "
            "images of your own patients, set it to pseudonymise: docs/data.md."
        )
    return presets[name].about


def forget_masks(document: MutableMapping[str, Any], name: str, images: str) -> None:
    """Images without masks can train what needs none."""
    if NEEDS[document["task"]].masks:
        return
    pattern = document["validate"]["mask"]
    document["validate"]["mask"] = None
    print(f"validate.mask is null: no file of {images} is named as {name} names a mask ({dict(pattern)}).")


def warn_of_misfit(document: Mapping[str, Any]) -> None:
    """The settings are written all the same: that is where their patterns can be corrected."""
    try:
        checking.check_source(document)
    except UserError as error:
        for line in str(error).splitlines():
            print(f"not yet for these images: {line}", file=sys.stderr)
        print(f"Correct {PARAMS} before the first run; python -m stages check looks again.", file=sys.stderr)


def forget(base: MutableMapping[str, Any], preset: Mapping[str, Any], default: Mapping[str, Any]) -> None:
    """Remove from `base` what a preset adds to `default`, in place."""
    for key, value in preset.items():
        inner: Any = base.get(key)
        if key not in default:
            base.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(inner, MutableMapping) and isinstance(default[key], Mapping):
            forget(inner, value, default[key])
