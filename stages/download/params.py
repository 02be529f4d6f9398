"""The `download` section of params.yaml."""

from __future__ import annotations

import os
import re
from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from ..shared.core.settings import Expression, Settings

Finding = Literal["normal", "consolidation", "haze", "effusion", "nodule", "cardiomegaly"]
Opacity = Annotated[float, Field(gt=0, le=1)]


class Faults(Settings):
    """Faults planted in a phantom set, each in other patients; `phantom.json` in the archive lists them by name."""

    exact_duplicates: NonNegativeInt = 3
    """Files stored a second time, byte for byte, under another patient's name."""
    near_duplicates: NonNegativeInt = 3
    """Films stored a second time under another patient's name, compressed as JPEG in between and a little brighter."""
    truncated: NonNegativeInt = 1
    """Image files that end half-way."""
    blank: NonNegativeInt = 1
    """Films of one single grey."""
    conflicting_patients: NonNegativeInt = 1
    """Patients with films under two labels."""
    crops: NonNegativeInt = 3
    """Films stored a second time under another patient's name, in turn on a wider black background and at a smaller
    size: one of the two files is a crop or a resized version of the other."""
    corner_marker: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How often a bright letter in the corner gives the class away. 0: no film has one. p: films with a finding carry
    it with probability p, normal ones with 1 - p. So 1 is a perfect giveaway, and 0.5 says nothing."""


class Phantom(Settings):
    """Synthetic chest films, fully determined by these settings."""

    patients: Annotated[int, Field(ge=2, le=9999)] = 320
    """How many patients; a patient's films share the anatomy and the disease."""
    images_per_patient: tuple[PositiveInt, Annotated[int, Field(ge=1, le=99)]] = (1, 3)
    """The fewest and the most films of one patient."""
    size: Annotated[int, Field(ge=64, le=2048)] = 128
    """Width and height of the films, in pixels."""
    seed: NonNegativeInt = 0
    """The same seed gives the same films. Not the top-level seed, so that training can be repeated with other seeds on
    the same films."""
    findings: dict[Finding, PositiveFloat] = Field(default={"normal": 0.45, "consolidation": 0.30, "haze": 0.25})
    """Which findings there are, and their shares of the patients (any scale). Folder of a film: images/NORMAL for
    normal, images/PNEUMONIA for consolidation and haze, images/EFFUSION, images/NODULE, images/CARDIOMEGALY."""
    opacity: tuple[Opacity, Opacity] = (0.25, 0.75)
    """Difficulty: how dense the findings are, from the faintest patient to the plainest; lower is harder."""
    faults: Faults = Faults()
    """Known faults among the films."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("images_per_patient", "opacity"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: [{low}, {high}] runs backwards; write the smaller value first.")
        if not self.findings:
            raise ValueError("findings: empty; name at least one, for example {normal: 1}.")
        faults = self.faults
        needed = 2 * (faults.exact_duplicates + faults.near_duplicates + faults.crops)
        needed += faults.truncated + faults.blank + faults.conflicting_patients
        if needed > self.patients:
            raise ValueError(
                f"faults: they need {needed} different patients and there are {self.patients}. "
                "Plant fewer, or raise patients."
            )
        return self


def _dataset(value: str) -> str:
    if value and not re.fullmatch(r"[\w-]+/[\w-]+", value, re.ASCII):
        raise ValueError(
            f"{value!r} is not a data set's name; write owner/name as in its address, kaggle.com/datasets/owner/name."
        )
    return value


class Limits(Settings):
    """How large an archive may be. A larger one is refused, as a zip bomb or a mistake."""

    unpacked_gb: PositiveFloat = 50.0
    """The most gigabytes (10⁹ bytes) that all its members may unpack to."""
    files: PositiveInt = 1_000_000
    """The most members."""
    ratio: Annotated[float, Field(gt=1)] = 200.0
    """The most bytes that one stored byte may unpack to. Images are compressed already and stay far below."""


class Kaggle(Settings):
    """A Kaggle data set, pinned."""

    dataset: Annotated[str, AfterValidator(_dataset)] = ""
    """owner/name, as in the set's address: kaggle.com/datasets/owner/name."""
    version: PositiveInt | None = None
    """The set's version, so that the same params mean the same images next year."""
    limits: Limits = Limits()
    """How large the downloaded archive may be."""


def _reachable(value: str) -> str:
    if not value.strip():
        raise ValueError("empty; write the path of a folder or an archive of images.")
    full = os.path.abspath(os.path.expanduser(value))
    if value.startswith("~"):
        raise ValueError(f"{value!r} is not expanded by DVC; write the absolute path: {full}")
    if not PurePath(value).is_absolute() and PurePath(os.path.normpath(value)).parts[0] == "..":
        raise ValueError(
            f"{value!r} leaves the repository. `dvc exp run --temp` and `--queue` work in a copy where it is not "
            f"there; write the absolute path: {full}"
        )
    return value


class Folder(Settings):
    """Your own images."""

    path: Annotated[str, AfterValidator(_reachable)] = "data/folder"
    """A directory tree of images, or an archive of one (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz). Absolute, or inside
    the repository."""
    limits: Limits = Limits()
    """How large the archive may be, when it is one."""


class Pseudonyms(Settings):
    """What tells who the patient is, outside DICOM headers, which are always cleaned."""

    names: Expression | None = None
    """Regular expression: what in a path tells it (name, id, date, accession number). Each match becomes a pseudonym,
    or each group where it has groups; (?P<patient>…) becomes patient-<16 hexadecimal digits>, any other id-<…>. Every
    path needs a match. "" where no path tells anything."""
    columns: list[str] = []
    """Columns of tables that identify nobody, such as the label or the age: they stay. In all others, a cell that means
    an image becomes its new name, and any other cell a pseudonym. Without any, tables are left out."""


class Params(Settings):
    """Where the images come from, and what happens to them on their way into the archive."""

    source: Literal["phantom", "kaggle", "folder"] = "phantom"
    """phantom: synthetic films, without any network. kaggle: a public data set. folder: your own images."""
    privacy: Literal["pseudonymise", "keep"] = "pseudonymise"
    """pseudonymise: names, ids and dates of patients become pseudonyms before anything is written; DICOM headers lose
    all that is not needed. keep: names of files and headers stay as they are, for images that are public. The phantom's
    patients need none."""
    pseudonyms: Pseudonyms = Pseudonyms()
    """Read when privacy is pseudonymise."""
    frames: Literal["first", "middle", "all"] = "first"
    """Of a DICOM file of several frames: the first, the one in the middle, or each as an image of its own."""
    phantom: Phantom = Phantom()
    """Read when source is phantom."""
    kaggle: Kaggle = Kaggle()
    """Read when source is kaggle."""
    folder: Folder = Folder()
    """Read when source is folder."""

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        dataset = self.kaggle.dataset
        if self.source == "kaggle" and not dataset:
            raise ValueError("kaggle.dataset: missing; source kaggle needs it, as owner/name.")
        if self.source == "kaggle" and self.kaggle.version is None:
            address = f"kaggle.com/datasets/{dataset}/versions"
            raise ValueError(
                f"kaggle.version: missing; pin the version of {dataset} ({address} lists them), for example version: 1."
            )
        return self

    @model_validator(mode="after")
    def _decided(self) -> Self:
        if self.source != "phantom" and self.privacy == "pseudonymise" and self.pseudonyms.names is None:
            raise ValueError(
                "pseudonyms.names: missing. privacy: pseudonymise has to know what in a path tells who the patient is: "
                "write a regular expression that matches it, e.g. 'P\\d+', or '' where nothing does. Where the images "
                "are public, set privacy: keep (docs/data.md)."
            )
        return self
