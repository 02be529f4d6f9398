"""The `validate` section of params.yaml."""

from __future__ import annotations

import re
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ..shared.core.settings import Expression, Settings

Severity = Literal["critical", "warning", "info"]
Adjustable = Literal[
    "min_side", "max_side", "max_aspect", "min_contrast", "one_label_per_picture",
    "one_patient_per_picture", "one_label_per_patient",
    "mask_present", "mask_proportions", "mask_size", "mask_levels", "mask_threshold", "mask_full", "mask_empty",
    "mask_not_inverted", "mask_without_image", "has_site", "no_other_files", "min_images_per_class",
    "row_has_image", "one_row_per_image", "no_shortcut", "one_split_per_patient", "one_split_per_picture",
    "classes_alike_in_file", "classes_alike_in_grey", "splits_alike",
]  # fmt: skip
ONE_STRUCTURE, BACKGROUND = "mask", "background"
MASK_FIELDS = ("stem", "name", "folder", "parent")


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_structures(value: Any) -> Any:
    """A template or a list of templates is one structure, named `mask`."""
    if isinstance(value, str | list):
        value = {ONE_STRUCTURE: value}
    if not isinstance(value, dict):
        return value
    return {name: {"files": files} if isinstance(files, str | list) else files for name, files in value.items()}


def _check_name(value: str) -> str:
    if value == BACKGROUND:
        raise ValueError(f"{value!r} is what lies outside every structure. Give the structure another name.")
    return value


def _check_template(value: str) -> str:
    try:
        fields = [field for _, field, _, _ in Formatter().parse(value) if field is not None]
    except ValueError as error:
        raise ValueError(f"{value!r}: {error}.") from None
    wrong = [field for field in fields if field not in MASK_FIELDS]
    if wrong or not fields:
        valid = ", ".join(f"{{{field}}}" for field in MASK_FIELDS)
        fault = f"has {{{wrong[0]}}}" if wrong else "would give every image the same mask"
        raise ValueError(f"{value!r} {fault}. Valid: {valid}, at least one of them.")
    return value


Name = Annotated[str, Field(min_length=1), AfterValidator(_check_name)]
Globs = Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)]


Template = Annotated[str, AfterValidator(_check_template)]


class Structure(Settings):
    """One anatomical structure, such as the left lung: which mask files show it, and which of their pixels belong to
    it."""

    files: Annotated[list[Template], BeforeValidator(_as_list), Field(min_length=1)]
    """Names of an image's mask in the archive, from {stem} (file name without suffix), {name} (with it), {folder} (the
    image's folder) and {parent} (that folder's last part), e.g. "masks/lung/{stem}.png" or
    "{folder}/../masks/{stem}.png". The first that exists is the mask."""
    union: bool = False
    """true: all of `files` have to exist, and the structure is what lies in any of them (left and right lung)."""
    invert: bool = False
    """true: the structure is dark."""
    threshold: int = Field(default=127, ge=0, le=254)
    """A pixel belongs to the structure where its grey level, inverted if so, is above this. Masks with the levels 0 and
    1 want 0."""


Structures = Annotated[
    dict[Name, Structure], BeforeValidator(_as_structures), Field(min_length=1, max_length=255)
]  # their numbers are the bytes of masks.npy


def _one_column(value: Any) -> Any:
    if isinstance(value, list):
        raise ValueError(
            f"{', '.join(map(str, value))}: several columns, so an image may have several labels. Each image needs "
            "exactly one: name one column."
        )
    return value


def _as_names(value: Any) -> Any:
    """A list of columns: each is its own name."""
    return {column: column for column in value} if isinstance(value, list) else value


def _check_metadata(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(
                f"{name!r} cannot be a name of metadata: write it in small letters, digits and _, with its column "
                "behind it, e.g. {age: 'Patient Age'}."
            )
    return value


Metadata = Annotated[dict[str, str], BeforeValidator(_as_names), AfterValidator(_check_metadata)]


class Labels(Settings):
    """A table that says what each image shows."""

    table: str
    """A CSV or Parquet file of the archive; for source folder it lies among the images. Its name, with the folder where
    two tables have one name."""
    path_column: str
    """Which image a row means: its name in the archive, the end of that behind a slash, or one of these without the
    suffix."""
    label_column: Annotated[str, BeforeValidator(_one_column)]
    """What the image shows, as one value. `classes` says which values make which class; images with other values are
    left out."""
    several: Literal["refuse", "leave_out"] = "refuse"
    """What happens where an image has several labels (A|B, A;B or a list): refuse the table, or leave the image out.
    Without them a study sees only the plain cases, and may not hold for others."""
    patient_column: str | None = None
    """Whose image it is."""
    split_column: str | None = None
    """The set's own split: train, val or test; `provided_split` says it where the values are others."""
    site_column: str | None = None
    """The hospital or scanner."""
    metadata: Metadata = Field(default={})
    """What else is known of an image, as a list of columns or as name: column, e.g. {age: "Patient Age"}. Each becomes
    a column meta_<name> from the manifest to the predictions. Ages such as 034Y become years."""

    @property
    def columns(self) -> dict[str, str]:
        """Key of params.yaml -> the column that it names."""
        named = {key: value for key, value in self if key.endswith("_column") and value is not None}
        return named | {f"metadata.{name}": column for name, column in self.metadata.items()}


class Dicom(Settings):
    """What is read from the headers of DICOM files."""

    patient: bool = False
    """true: the header's PatientID is the patient (a pseudonym, under download.privacy: pseudonymise)."""
    metadata: list[Literal["age", "sex", "view", "manufacturer"]] = []
    """Attributes that become metadata, as those of `labels` do: PatientAge in years, PatientSex, ViewPosition,
    Manufacturer."""


class NearDuplicates(Settings):
    """Two images are one picture when their difference hashes (dHash) are close and their thumbnails confirm it."""

    hash_size: int = Field(default=16, ge=4, le=32)
    """The hash has hash_size² bits."""
    distance: int = Field(default=24, ge=0, le=256)
    """Bits in which two hashes of one picture may differ, as the files are or with their uniform borders trimmed. 24 of
    256 allow another JPEG quality, size, brightness or crop."""
    correlation: float = Field(default=0.994, ge=0, le=1)
    """Pearson correlation that the two 64×64 thumbnails then must reach, once aligned. Chests resemble each other:
    films of different patients reach 0.982 (1,650 children's films) and 0.992 (the phantom); crops and other copies of
    one picture have 0.995 and more (MRI slices, adults' films)."""


class Limits(Settings):
    """What is in range."""

    min_side: int = Field(default=28, ge=1)
    """Pixels of the shorter side."""
    max_side: int = Field(default=10_000, ge=1)
    """Pixels of the longer side."""
    max_aspect: float = Field(default=4.0, ge=1)
    """Longer side over shorter side."""
    min_contrast: float = Field(default=2.0, ge=0)
    """Standard deviation of the grey levels (0…255). Below it the image counts as blank; real films have 25 or more."""
    min_images_per_class: int = Field(default=10, ge=1)
    """Images that a class must keep after the faulty ones are set aside."""


class Shortcuts(Settings):
    """Whether the label can be told from what should not matter: the file, the border of the image, what lies outside
    its structures. Measured by logistic regression on patients that it has not seen."""

    enabled: bool = True
    """false: not measured."""
    bar: float = Field(default=0.6, ge=0.5, lt=1)
    """A warning is given where the whole interval of the AUROC lies above this. 0.5 is chance."""


class Params(Settings):
    """What the files of the archive mean, and what is expected of them.

    Patterns are globs on the name in the archive: `*` is anything but a slash, `**` anything, `?` one character, `[ab]`
    one of them. A pattern without a slash is compared with the file name alone, in any folder.
    """

    classes: Annotated[dict[str, Globs], Field(min_length=1)]
    """Label: pattern or list of patterns; with `labels`, value or list of values of the label column. The order is
    kept; of two classes, the second is the positive one. Of one class, only structures can be learnt (task:
    segmentation)."""
    labels: Labels | None = None
    """A table that gives the labels, instead of patterns on the names. null: there is none."""
    ignore: Annotated[list[str], BeforeValidator(_as_list)] = Field(default=[])
    """Patterns of files to ignore. Hidden files, __MACOSX/, Thumbs.db, desktop.ini and READMEs always are."""
    dicom: Dicom = Dicom()
    """What is read from the headers of DICOM files."""
    patient: Expression | None = None
    """Regular expression searched in the name; the patient is its group `patient`, else its groups joined
    with "-", else the whole match. null: every image is a patient of its own (duplicates of a picture still stay
    together)."""
    site: Expression | None = None
    """Regular expression that finds the hospital or scanner in the name, as `patient` finds the patient. null: no
    sites."""
    mask: Structures | None = None
    """Structure: its mask files. A template or a list of templates alone is one structure named `mask`. An image is
    annotated where it has a mask of every structure; structures exclude each other, and where two overlap the later one
    wins. null: no masks."""
    provided_split: dict[Literal["train", "val", "test"], Globs] | None = None
    """The set's own split, as patterns, e.g. {train: "train/**", test: "test/**"}; with labels.split_column, as values
    of that column. null: it has none, or the column says train, val and test."""
    near_duplicates: NearDuplicates = NearDuplicates()
    """When two files count as the same picture."""
    limits: Limits = Limits()
    """What is in range."""
    shortcuts: Shortcuts = Shortcuts()
    """Whether the label can be told from what should not matter."""
    on_failure: Literal["stop", "quarantine"] = "stop"
    """On critical failures, stop the pipeline and name the files, or set those images aside, with the reason."""
    expectations: str = "expectations.yaml"
    """File of expectations of your own: a list of {type, column, severity, description} and the arguments of the type,
    which is one of Great Expectations', e.g. {type: expect_column_values_to_be_between, column: brightness, min_value:
    20, severity: critical}."""
    severity: dict[Adjustable, Severity] = Field(default={})
    """Another severity for a check, e.g. {max_aspect: warning}. Only critical ones stop or set aside."""

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        limits, near = self.limits, self.near_duplicates
        if limits.min_side > limits.max_side:
            raise ValueError(f"limits: min_side {limits.min_side} is more than max_side {limits.max_side}.")
        if near.distance > near.hash_size**2 // 4:
            raise ValueError(
                f"near_duplicates.distance: {near.distance} of {near.hash_size**2} bits joins nearly everything. "
                f"Valid: at most {near.hash_size**2 // 4}; usual: {max(1, near.hash_size**2 // 16)}."
            )
        patients = {"patient": self.patient, "labels.patient_column": self.labels and self.labels.patient_column,
                    "dicom.patient": self.dicom.patient}  # fmt: skip
        sites = {"site": self.site, "labels.site_column": self.labels and self.labels.site_column}
        for sources in (patients, sites):
            given = [key for key, value in sources.items() if value]
            if len(given) > 1:
                raise ValueError(f"{given[0]}: given by {given[1]} too. Leave one of the two.")
        twice = set(self.dicom.metadata).intersection(self.labels.metadata if self.labels else ())
        if twice:
            raise ValueError(
                f"dicom.metadata: {sorted(twice)[0]} is given by labels.metadata too. Leave one of the two."
            )
        return self

    @property
    def has_patients(self) -> bool:
        """Whether anything says whose image it is; otherwise each image is a patient of its own."""
        return bool(self.patient or (self.labels and self.labels.patient_column) or self.dicom.patient)

    @property
    def has_sites(self) -> bool:
        return bool(self.site or (self.labels and self.labels.site_column))

    @property
    def has_split(self) -> bool:
        return bool(self.provided_split or (self.labels and self.labels.split_column))
