"""What is expected of a manifest row, of the files beside the images and of the classes, and words for what
fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    """One row per image: the columns of work.frame()."""
    optional = [
        _patient(params) if params.patient else [],
        _masks(params) if params.mask else [],
        _provided(params) if params.provided_split else [],
    ]
    return [
        *_readable_and_labelled(),
        *_appearance(params),
        _across_labels(params),
        *(c for cs in optional for c in cs),
    ]


def _readable_and_labelled() -> list[Check]:
    return [
        Check("readable", "critical", "Every image can be decoded.",
              "ExpectColumnValuesToBeInSet", {"column": "readable", "value_set": [True]},
              lambda row: f"unreadable: {row['fault']}"),
        Check("labelled", "critical", "Every image matches the pattern of a class.",
              "ExpectColumnValuesToNotBeNull", {"column": "label"},
              lambda row: "no label: matches the pattern of no class"),
    ]  # fmt: skip


def _appearance(params: Params) -> list[Check]:
    limits = params.limits
    return [
        Check("too_small", _severity(params, "too_small"),
              f"The shorter side of every image has {limits.min_side} pixels or more.",
              "ExpectColumnValuesToBeBetween", {"column": "short_side", "min_value": limits.min_side},
              lambda row: f"too small: {_sides(row)} pixels, under {limits.min_side}"),
        Check("too_large", _severity(params, "too_large"),
              f"The longer side of every image has {limits.max_side} pixels or fewer.",
              "ExpectColumnValuesToBeBetween", {"column": "long_side", "max_value": limits.max_side},
              lambda row: f"too large: {_sides(row)} pixels, over {limits.max_side}"),
        Check("aspect", _severity(params, "aspect"),
              f"No image is more than {limits.max_aspect:g} times as long as it is wide, or the reverse.",
              "ExpectColumnValuesToBeBetween", {"column": "aspect", "max_value": limits.max_aspect},
              lambda row: f"aspect: {_sides(row)} pixels, {row['aspect']:.1f} to 1"),
        Check("blank", _severity(params, "blank"),
              f"No image is blank: the standard deviation of its grey levels is {limits.min_contrast:g} or "
              "more.",
              "ExpectColumnValuesToBeBetween", {"column": "contrast", "min_value": limits.min_contrast},
              lambda row: f"blank: contrast {row['contrast']:.2f}, below {limits.min_contrast:g}"),
    ]  # fmt: skip


def _sides(row: Row) -> str:
    return f"{row['width']:.0f}×{row['height']:.0f}"


def _across_labels(params: Params) -> Check:
    return Check("duplicate_across_labels", _severity(params, "duplicate_across_labels"),
                 "No picture appears under two labels.",
                 "ExpectColumnValuesToBeBetween", {"column": "labels_in_cluster", "max_value": 1},
                 lambda row: f"duplicate: the same picture has another label: {row['twins']}")  # fmt: skip


def _patient(params: Params) -> list[Check]:
    return [
        Check("patient", "critical", "Every image's name gives its patient.",
              "ExpectColumnValuesToNotBeNull", {"column": "patient"},
              lambda row: "no patient: the pattern finds none in the name"),
        Check("duplicate_across_patients", _severity(params, "duplicate_across_patients"),
              "No picture appears under two patients.",
              "ExpectColumnValuesToBeBetween", {"column": "patients_in_cluster", "max_value": 1},
              lambda row: f"duplicate: the same picture has another patient: {row['twins']}"),
        Check("one_label_per_patient", _severity(params, "one_label_per_patient", "warning"),
              "No patient has images under two labels.",
              "ExpectColumnValuesToBeBetween", {"column": "labels_of_patient", "max_value": 1},
              lambda row: f"patient {row['patient']} has images under several labels"),
    ]  # fmt: skip


def _masks(params: Params) -> list[Check]:
    return [
        Check("mask_present", _severity(params, "mask_present", "warning"), "Every image has its mask.",
              "ExpectColumnValuesToNotBeNull", {"column": "mask"}, lambda row: "no mask in the archive"),
        Check("mask_readable", "critical", "Every mask can be decoded.",
              "ExpectColumnValuesToBeInSet", {"column": "mask_readable", "value_set": [True]},
              lambda row: f"unreadable mask: {row['mask_fault']}"),
    ]  # fmt: skip


def _provided(params: Params) -> list[Check]:
    return [
        Check("provided_split", "critical", "Every image belongs to a part of the set's own split.",
              "ExpectColumnValuesToNotBeNull", {"column": "provided_split"},
              lambda row: "no part of the set's own split matches the name"),
    ]  # fmt: skip


def file_check(params: Params) -> Check:
    """One row per file that is not ignored: path, kind."""
    return Check("other_files", _severity(params, "other_files", "info"),
                 "Every file is an image, a mask or ignored.",
                 "ExpectColumnValuesToBeInSet", {"column": "kind", "value_set": ["image", "mask"]})  # fmt: skip


def class_checks(params: Params, counts: Mapping[str, int]) -> list[Check]:
    """On the rows that are left when the faulty ones are set aside. `counts`: images per class among them."""
    least = params.limits.min_images_per_class
    return [
        Check(f"images_per_class/{label}", _severity(params, "images_per_class"),
              f"Class {label} keeps at least {least} images; it keeps {counts[label]}.",
              "ExpectTableRowCountToBeBetween", {"min_value": least, "label": label})
        for label in params.classes
    ]  # fmt: skip


def _severity(params: Params, name: str, default: Severity = "critical") -> Severity:
    return {str(check): severity for check, severity in params.severity.items()}.get(name, default)
