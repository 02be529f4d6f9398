"""What is expected of an image, of the files beside the images and of the classes, and words for what fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .params import Params, Severity

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """One expectation. `kind` and `arguments` are Great Expectations'; `reason` says what is wrong with a
    failing row."""

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
    between, not_null = "ExpectColumnValuesToBeBetween", "ExpectColumnValuesToNotBeNull"
    in_set = "ExpectColumnValuesToBeInSet"
    checks = [
        Check("readable", "critical", "Every image can be decoded.",
              in_set, {"column": "readable", "value_set": [True]}, lambda row: f"unreadable: {row['fault']}"),
        Check("labelled", "critical", "Every image matches the pattern of a class.",
              not_null, {"column": "label"}, lambda row: "no label: matches the pattern of no class"),
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
    if params.patient:
        checks += [
            Check("has_patient", "critical", "Every image's name gives its patient.",
                  not_null, {"column": "patient"}, lambda row: "no patient: the pattern finds none in the name"),
            Check("one_patient_per_picture", "critical", "No picture appears under two patients.",
                  between, {"column": "patients_in_cluster", "max_value": 1},
                  lambda row: f"duplicate: the same picture has another patient: {row['duplicates']}"),
            Check("one_label_per_patient", "warning", "No patient has images under two labels.",
                  between, {"column": "labels_of_patient", "max_value": 1},
                  lambda row: f"patient {row['patient']} has images under several labels"),
        ]  # fmt: skip
    if params.mask:
        checks += [
            Check("mask_present", "warning", "Every image has its mask.",
                  not_null, {"column": "mask"}, lambda row: "no mask in the archive"),
            Check("mask_readable", "critical", "Every mask can be decoded.",
                  in_set, {"column": "mask_readable", "value_set": [True]},
                  lambda row: f"unreadable mask: {row['mask_fault']}"),
        ]  # fmt: skip
    if params.provided_split:
        checks.append(
            Check("in_provided_split", "critical", "Every image belongs to a part of the set's own split.",
                  not_null, {"column": "provided_split"},
                  lambda row: "no part of the set's own split matches the name")
        )  # fmt: skip
    return [_with_severity(check, params) for check in checks]


def _sides(row: Row) -> str:
    return f"{row['width']:.0f}×{row['height']:.0f}"


def file_check(params: Params) -> Check:
    """On a table of the files that are not ignored: path, kind."""
    check = Check("no_other_files", "info", "Every file is an image, a mask or ignored.",
                  "ExpectColumnValuesToBeInSet", {"column": "kind", "value_set": ["image", "mask"]})  # fmt: skip
    return _with_severity(check, params)


def class_checks(params: Params, counts: Mapping[str, int]) -> list[Check]:
    """On the rows that are left when the faulty ones are set aside. `counts`: images per class among them."""
    least = params.limits.min_images_per_class
    return [
        Check(f"min_images_per_class/{label}", params.severity.get("min_images_per_class", "critical"),
              f"Class {label} keeps at least {least} images; it keeps {counts[label]}.",
              "ExpectTableRowCountToBeBetween", {"min_value": least, "label": label})
        for label in params.classes
    ]  # fmt: skip


def _with_severity(check: Check, params: Params) -> Check:
    """As params.yaml says, where it says anything."""
    chosen: Mapping[str, Severity] = {str(name): severity for name, severity in params.severity.items()}
    return replace(check, severity=chosen.get(check.name, check.severity))
