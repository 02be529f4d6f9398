"""DICOM files of several frames: how many there are, and one of them as a data set of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

MACROS = ("PixelValueTransformationSequence", "FrameVOILUTSequence")
"""Rescale and window of a frame, where they stand in the enhanced objects."""


def count(dataset: Dataset) -> int:
    return max(1, int(dataset.get("NumberOfFrames") or 1))


def lift(dataset: Dataset, frame: int) -> None:
    """Write the rescale and the window of a frame where files of one frame have them, in place. What stands there
    already stays."""
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])[:1]
    own = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1]
    for group in (*own, *shared):
        for macro in MACROS:
            for item in list(group.get(macro) or [])[:1]:
                for element in item:
                    if element.keyword not in dataset:
                        dataset.add(element)


def cut(dataset: Dataset, frame: int) -> Dataset:
    """A copy that has this frame alone, counted from 0, with its own rescale and window.

    Raises: whatever pydicom raises on pixels that are damaged.
    """
    from pydicom import DataElement
    from pydicom.encaps import encapsulate, get_frame

    frames = count(dataset)
    single = dataset[:]  # `copy` would share its elements
    single.file_meta = dataset.file_meta
    lift(single, frame)
    data = dataset.PixelData
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        pixels = encapsulate([get_frame(data, frame, number_of_frames=frames)])
    else:
        length = len(data) // frames  # of an odd length, one byte more behind the last frame
        pixels = data[frame * length : (frame + 1) * length]
    single["PixelData"] = DataElement(dataset["PixelData"].tag, dataset["PixelData"].VR, pixels)
    for keyword in (
        "NumberOfFrames", "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "FrameIncrementPointer",
        "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    ):  # fmt: skip
        if keyword in single:
            delattr(single, keyword)
    return single
