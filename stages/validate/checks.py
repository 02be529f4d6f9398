"""What is expected of an image, of the files beside the images and of the classes, and words for what fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from .params import Params, Severity

Row = Mapping[str, Any]
FULL = 0.98  # share of an image that no structure covers
MOST = 0.5  # of the pixels at the border


@dataclass(frozen=True)
class Check:
    """One expectation. `kind` and `arguments` are Great Expectations' (empty: judged here); `reason` says what is wrong
    with a failing row."""

    name: str
    severity: Severity
    description: str
    kind: str
    arguments: Mapping[str, Any]
    reason: Callable[[Row], str] | None = None


@dataclass(frozen=True)
class Outcome:
    """`failed`: the paths that fail, in order; empty for a check on a whole table, which fails as one."""

    check: Check
    success: bool
    failed: list[str] = field(default_factory=list)

    @property
    def stops(self) -> bool:
        return not self.success and self.check.severity == "critical"

    def summary(self) -> dict[str, Any]:
        """An entry of validation.json."""
        return {
            "name": self.check.name,
            "severity": self.check.severity,
            "success": self.success,
            "failed": len(self.failed) or int(not self.success),
            "description": self.check.description,
            "examples": self.failed[:20],
        }


def image_checks(params: Params) -> list[Check]:
    """On the table of the images, one row each."""
    limits = params.limits
    table = params.labels.table if params.labels else None
    between, not_null = "ExpectColumnValuesToBeBetween", "ExpectColumnValuesToNotBeNull"
    in_set = "ExpectColumnValuesToBeInSet"
    checks = [
        Check("readable", "critical", "Every image can be decoded.",
              in_set, {"column": "readable", "value_set": [True]}, lambda row: f"unreadable: {row['fault']}"),
        Check("labelled", "critical",
              f"{table} gives every image its label." if table else "Every image matches the pattern of a class.",
              not_null, {"column": "label"},
              lambda row: f"no label: {table} has no row for it, or none in its row" if table
              else "no label: matches the pattern of no class"),
        Check("min_side", "critical", f"The shorter side of every image has {limits.min_side} pixels or more.",
              between, {"column": "short_side", "min_value": limits.min_side},
              lambda row: f"too small: {_sides(row)} pixels, under {limits.min_side}"),
        Check("max_side", "critical", f"The longer side of every image has {limits.max_side} pixels or fewer.",
              between, {"column": "long_side", "max_value": limits.max_side},
              lambda row: f"too large: {_sides(row)} pixels, over {limits.max_side}"),
        Check("max_aspect", "critical",
              f"No image is more than {limits.max_aspect:g} times as long as it is wide, or the reverse.",
              between, {"column": "aspect", "max_value": limits.max_aspect},
              lambda row: f"aspect: {_sides(row)} pixels, {row['aspect']:.1f} to 1"),
        Check("min_contrast", "critical",
              f"No image is blank: the standard deviation of its grey levels is {limits.min_contrast:g} or more.",
              between, {"column": "contrast", "min_value": limits.min_contrast},
              lambda row: f"blank: contrast {row['contrast']:.2f}, below {limits.min_contrast:g}"),
        Check("one_label_per_picture", "critical", "No picture appears under two labels.",
              between, {"column": "labels_in_cluster", "max_value": 1},
              lambda row: f"duplicate: the same picture has another label: {row['duplicates']}"),
    ]  # fmt: skip
    if params.has_patients:
        source = "its name" if params.patient else "its DICOM header" if params.dicom.patient else table
        checks += [
            Check("has_patient", "critical", f"Every image has a patient, by {source}.",
                  not_null, {"column": "patient"}, lambda row: f"no patient by {source}"),
            Check("one_patient_per_picture", "critical", "No picture appears under two patients.",
                  between, {"column": "patients_in_cluster", "max_value": 1},
                  lambda row: f"duplicate: the same picture has another patient: {row['duplicates']}"),
            Check("one_label_per_patient", "warning", "No patient has images under two labels.",
                  between, {"column": "labels_of_patient", "max_value": 1},
                  lambda row: f"patient {row['patient']} has images under several labels"),
        ]  # fmt: skip
    if params.has_sites:
        giver = "its name" if params.site else table
        checks.append(
            Check("has_site", "warning", f"Every image has a site, by {giver}.",
                  not_null, {"column": "site"}, lambda row: f"no site by {giver}")
        )  # fmt: skip
    if params.mask:
        structures = "its mask" if len(params.mask) == 1 else f"a mask of each structure: {', '.join(params.mask)}"
        checks.append(
            Check("mask_present", "warning", f"Every image has {structures}; one without counts as not annotated.",
                  in_set, {"column": "has_mask", "value_set": [True]},
                  lambda row: f"no mask of {row['missing_masks']} in the archive")
        )  # fmt: skip
    if params.has_split:
        checks.append(
            Check("in_provided_split", "critical", "Every image belongs to a part of the set's own split.",
                  not_null, {"column": "provided_split"},
                  lambda row: "no part of the set's own split: its name matches none, or the table says none")
        )  # fmt: skip
        checks += [
            Check("one_split_per_picture", "warning", "No picture lies in two parts of the set's own split.",
                  between, {"column": "splits_of_cluster", "max_value": 1},
                  lambda row: f"the same picture lies in another part of the set's own split: {row['duplicates']}"),
            Check("one_split_per_patient", "warning", "No patient lies in two parts of the set's own split.",
                  between, {"column": "splits_of_patient", "max_value": 1},
                  lambda row: f"patient {row['patient']} lies in several parts of the set's own split"),
        ]  # fmt: skip
    return [_with_severity(check, params) for check in checks]


def mask_checks(params: Params) -> list[Check]:
    """On the table of the masks of annotated images, one row each. A critical failure is one of the image."""
    between, in_set = "ExpectColumnValuesToBeBetween", "ExpectColumnValuesToBeInSet"
    checks = [
        Check("mask_readable", "critical", "Every mask can be decoded.",
              in_set, {"column": "readable", "value_set": [True]}, lambda row: f"unreadable mask: {row['fault']}"),
        Check("mask_proportions", "critical", "Every mask has the proportions of its image.",
              in_set, {"column": "proportions", "value_set": [True]},
              lambda row: f"mask of another film: {row['path']} has {_sides(row)} pixels, the image "
              f"{row['image_width']:.0f}×{row['image_height']:.0f}"),
        Check("mask_size", "info", "Every mask has the size of its image; another one is resized to it.",
              in_set, {"column": "same_size", "value_set": [True]},
              lambda row: f"mask of another size: {row['path']} has {_sides(row)} pixels, the image "
              f"{row['image_width']:.0f}×{row['image_height']:.0f}"),
        Check("mask_levels", "critical", "No mask has areas of more than two grey levels.",
              between, {"column": "level_count", "max_value": 2},
              lambda row: f"mask {row['path']} has areas of {len(row['levels'])} grey levels: "
              f"{', '.join(map(str, row['levels']))}. A mask has two, inside and outside {row['structure']}; write "
              "one file for each structure"),
        Check("mask_threshold", "critical", "The threshold of every mask lies between its two grey levels.",
              in_set, {"column": "parted", "value_set": [True]},
              lambda row: f"mask {row['path']} has grey levels from {row['levels'][0]} to {row['levels'][-1]}"
              f"{', inverted' if row['invert'] else ''}, all on one side of threshold {row['threshold']}"),
        Check("mask_full", "critical", f"No mask covers more than {FULL:.0%} of its image.",
              between, {"column": "share", "max_value": FULL},
              lambda row: f"mask {row['path']} covers {row['share']:.1%} of the image. If {row['structure']} is the "
              f"{'light' if row['invert'] else 'dark'} part of the mask, set invert: {str(not row['invert']).lower()}"),
        Check("mask_empty", "warning", "Every mask has at least one pixel.",
              between, {"column": "share", "min_value": 0, "strict_min": True},
              lambda row: f"mask {row['path']} is empty"),
        Check("mask_not_inverted", "warning",
              "No mask covers most of the image's border; one that does is usually inverted (set invert: true).",
              between, {"column": "border", "max_value": MOST},
              lambda row: f"mask {row['path']} covers {row['border']:.0%} of the image's border"),
    ]  # fmt: skip
    return [_with_severity(check, params) for check in checks]


def _sides(row: Row) -> str:
    return f"{row['width']:.0f}×{row['height']:.0f}"


def file_checks(params: Params) -> list[Check]:
    """On a table of the files that are not ignored: path, kind."""
    in_set = "ExpectColumnValuesToBeInSet"
    kinds = ["image", "mask", "mask without image", "table"]
    checks = [Check("no_other_files", "info", "Every file is an image, a mask, a table or ignored.",
                    in_set, {"column": "kind", "value_set": kinds})]  # fmt: skip
    if params.mask:
        checks.append(
            Check("mask_without_image", "warning", "Every file named like a mask has its image.",
                  in_set, {"column": "kind", "value_set": ["image", "mask", "table", "other"]})
        )  # fmt: skip
    return [_with_severity(check, params) for check in checks]


def row_outcomes(cells: pd.DataFrame, params: Params, table: str) -> list[Outcome]:
    """Of the rows that give the labels (`labels.Rows.cells`). Judged here: a table may list 100,000 images that are not
    in the archive, for which Great Expectations takes half a minute."""
    faults = {
        "row_has_image": (f"Every row of {table} means an image of the archive.", cells["image"].isna()),
        "one_row_per_image": (
            f"{table} has one row for each image; several that agree count as one.", cells["rows"] > 1,
        ),
    }  # fmt: skip
    return [
        Outcome(
            _with_severity(Check(name, "warning", description, "", {}), params),
            not failing.any(),
            sorted(map(str, cells["path"][failing])),
        )
        for name, (description, failing) in faults.items()
    ]


def class_checks(params: Params, counts: Mapping[str, int]) -> list[Check]:
    """On the rows that are left when the faulty ones are set aside. `counts`: images per class among them."""
    least = params.limits.min_images_per_class
    return [
        Check(f"min_images_per_class/{label}", params.severity.get("min_images_per_class", "critical"),
              f"Class {label} keeps at least {least} images; it keeps {counts[label]}.",
              "ExpectTableRowCountToBeBetween", {"min_value": least, "label": label})
        for label in params.classes
    ]  # fmt: skip


MEDIUM = 0.5
"""Standardised difference."""


def drift_checks(params: Params) -> dict[str, Check]:
    """On tables of differences: path (what differs, in words), low (the end of its interval)."""
    kind, arguments = "ExpectColumnValuesToBeBetween", {"column": "low", "max_value": MEDIUM}
    limit = f"no standardised difference is surely larger than {MEDIUM}"
    checks = (
        Check("classes_alike_in_file", "warning",
              f"The files of the classes are alike in size, proportions, mode and JPEG quality: {limit}.",
              kind, arguments),
        Check("classes_alike_in_grey", "info",
              f"The classes are alike in brightness and contrast: {limit}. Where one is, it may be the disease.",
              kind, arguments),
        Check("splits_alike", "warning",
              "The parts of the set's own split are alike in size, proportions, mode, JPEG quality, brightness and "
              f"contrast: {limit}.", kind, arguments),
    )  # fmt: skip
    return {check.name: _with_severity(check, params) for check in checks}


def shortcut_checks(params: Params) -> list[Check]:
    """On a table of the meters: path (what was looked at and what it gave), low."""
    bar = params.shortcuts.bar
    return [_with_severity(check, params) for check in (
        Check("no_shortcut", "warning",
              "The label cannot be told from the file, from the border of the image, or from what lies outside its "
              f"structures: no model that sees only these has an AUROC whose whole interval lies above {bar:g}.",
              "ExpectColumnValuesToBeBetween", {"column": "low", "max_value": bar}),
    )]  # fmt: skip


def _with_severity(check: Check, params: Params) -> Check:
    """As params.yaml says, where it says anything."""
    chosen: Mapping[str, Severity] = {str(name): severity for name, severity in params.severity.items()}
    return replace(check, severity=chosen.get(check.name, check.severity))
