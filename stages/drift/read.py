"""New images and the reference, as the statistics see them. No name of a file or patient leaves this module but as what
is equal and what is not."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..shared.core.errors import UserError
from ..shared.core.paths import MANIFEST, RAW
from ..shared.core.progress import progress
from ..shared.exported.export import Export
from ..shared.exported.facts import facts_of
from ..shared.exported.training import FACTS
from ..shared.images.archive import Archive
from ..shared.images.decode import UnreadableImage
from ..shared.images.kinds import is_clutter, is_image
from ..shared.images.naming import in_name
from .statistics.sample import Sample

if TYPE_CHECKING:
    from ..shared.exported.source import Source

BATCH = 32
CONFIDENCE = "confidence"  # the largest probability of an image, as a fact


def no_mask(_: tuple[int, int]) -> None:
    """Of an image that has none."""


@dataclass(frozen=True)
class File:
    """patient: empty where nothing says whose image it is. mask: its class numbers for an image that is h×w, uint8
    h×w."""

    read: Callable[[], bytes]
    patient: str = ""
    mask: Callable[[tuple[int, int]], np.ndarray | None] = no_mask


@dataclass(frozen=True)
class New:
    """New images. source: where they come from, in words. known: images of the study itself, left out. unreadable:
    reasons and how often. others: images in a server's log that another network has seen. patients_known: else each
    image counts as a patient. files: of the sample, where there are any."""

    sample: Sample
    source: str
    patients_known: bool
    known: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)
    others: int = 0
    files: tuple[File, ...] = ()

    def at_most(self, images: int, rng: np.random.Generator) -> New:
        """Whole patients, drawn at random, where there are more images than that."""
        rows = self.sample.some(images, rng)
        files = tuple(self.files[i] for i in rows) if self.files else ()
        return replace(self, sample=self.sample.take(rows), files=files)


def reference(export: Export) -> Sample:
    """Images of validation and test, which no weight has learned from."""
    own = export.held_out
    labels = np.array([export.classes.index(label) for label in own.labels[own.described]])
    return sample(own.features, own.facts, own.patients[own.described], own.probabilities, labels)


def sample(
    features: np.ndarray,
    facts: Mapping[str, np.ndarray],
    patients: Sequence[str] | np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray | None = None,
) -> Sample:
    """With the confidence of each answer among the facts."""
    values = {name: np.asarray(facts[name], np.float64) for name in FACTS}
    values[CONFIDENCE] = probabilities.max(axis=1).astype(np.float64)
    # float16 in files of features: equal images are to be equal wherever they come from
    rounded = np.asarray(features, np.float16).astype(np.float64)
    return Sample(rounded, values, np.asarray(patients, str), probabilities.astype(np.float64), labels)


def of_folder(path: Path, export: Export, patient: str | None) -> New:
    """All images of a folder, or of a .zip.

    Raises:
        UserError: it does not exist or has no image that can be read; the model crops images to their masks, and a
            folder has none.
    """
    if export.preprocessor.crop_to_mask is not None:
        raise UserError(
            f"{export.recipe.key} learned from images that were cropped to a mask (CropToMask), and a folder has no "
            "masks: images that are not cropped would look like drift. Drift of such a model can only be measured on a "
            "study with masks: add the images to the study, then python -m stages drift --study"
        )
    if not path.exists():
        raise UserError(f"{path}: does not exist. Write the path of a folder of images, or of a .zip.")
    if path.is_dir():
        names = sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())
        found = [(name, (path / name).read_bytes) for name in names]
    else:
        archive = Archive(path)
        found = [(name, _member(archive, name)) for name in archive.names()]
    found = [(name, read) for name, read in found if not is_clutter(name) and is_image(name, read)]
    if not found:
        raise UserError(f"{path}: has no image. Write the path of a folder of images, or of a .zip.")
    files = [File(read, patient_of(name, patient)) for name, read in found]
    return described(files, export, f"the images in {path}")


def _member(archive: Archive, name: str) -> Callable[[], bytes]:
    return lambda: archive.read(name)


def of_study(export: Export) -> New:
    """Images of data/raw.zip that the model does not know: those that came after it was trained.

    Raises:
        UserError: validate has not run, there is no such image, or one has no mask and the model needs it.
    """
    files = unknown(export)
    if not files:
        raise UserError(f"{RAW}: has no image that {export.recipe.key} does not know, so there is nothing to compare.")
    return described(files, export, f"the images of {RAW} that {export.recipe.key} does not know")


def unknown(export: Export) -> list[File]:
    """Raises UserError when validate has not run, or an image has no mask and the model needs it."""
    from ..shared.exported.source import Source, table_of

    manifest = table_of(MANIFEST, "validate", ["path", "patient", "sha256", "quarantined", "label"])
    rows = manifest[~manifest["quarantined"].astype(bool) & manifest["label"].notna()]
    rows = rows[~rows["sha256"].isin(known_images(export))]
    source = Source.of(export, rows["path"].tolist(), "new images")
    return [
        _in_study(source, path, patient) for path, patient in zip(rows["path"], rows["patient"].fillna(""), strict=True)
    ]


def _in_study(source: Source, path: str, patient: str) -> File:
    def mask(shape: tuple[int, int]) -> np.ndarray | None:
        return source.numbers(path, source.masks_of(path), shape)

    return File(lambda: source.data(path), str(patient), mask)


def known_images(export: Export) -> set[str]:
    return {*export.training.sha256.tolist(), *export.held_out.sha256.tolist()}


def patient_of(name: str, expression: str | None) -> str:
    """By the rule of validate.patient; empty where it finds none."""
    return (in_name(re.search(expression, name), "patient") if expression else None) or ""


def described(files: Sequence[File], export: Export, source: str) -> New:
    """What the model makes of them, in batches. Images of the study itself are left out, and so is a second copy.

    Raises:
        UserError: no image is left.
    """
    seen, unreadable, kept = known_images(export), Counter[str](), list[File]()
    known, facts = 0, list[dict[str, float]]()
    features, probabilities, batch = [], [], list[np.ndarray]()

    def predict() -> None:
        if batch:
            answers = export.predict(np.stack(batch))
            features.append(answers.features)
            probabilities.append(answers.probabilities)
            batch.clear()

    for file in progress(files, desc="looking at new images", unit="images", leave=False):
        data = file.read()
        digest = hashlib.sha256(data).hexdigest()
        if digest in seen:
            known += 1
            continue
        try:
            original = export.preprocessor.original(data, "image")
            batch.append(export.preprocessor.prepare(original, file.mask(original.shape[:2])).image)
        except UnreadableImage as error:
            unreadable[error.reason] += 1
            continue
        seen.add(digest)
        facts.append(facts_of(original))
        kept.append(file)
        if len(batch) == BATCH:
            predict()
    predict()
    if not kept:
        raise UserError(
            f"{source[0].upper()}{source[1:]}: no new image (of the study or sent twice: {known}; "
            f"cannot be read: {unreadable.total()})."
        )
    columns = {name: np.array([each[name] for each in facts], np.float64) for name in FACTS}
    names, all_known = patients([file.patient for file in kept])
    own = sample(np.concatenate(features), columns, names, np.concatenate(probabilities))
    return New(own, source, all_known, known, dict(unreadable), files=tuple(kept))


def patients(names: Sequence[str]) -> tuple[list[str], bool]:
    """(one name per image, whether all are known). An image whose patient is not known is a patient of its own."""
    return [name or f"?{i}" for i, name in enumerate(names)], all(names)
