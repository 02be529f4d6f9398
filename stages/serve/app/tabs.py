"""The page as a whole: which model reads, and its tabs."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from ...shared.core.errors import UserError
from ...shared.core.paths import RAW
from ...shared.exported.chosen import chosen_key
from ...shared.exported.export import ROOT
from ...shared.images.archive import Archive
from . import about, many_images, one_image, words
from .command import EXPORT
from .reader import Reader


def show() -> None:
    st.set_page_config("Lightbox", page_icon=icon(), layout="wide")
    st.html(Path(__file__).with_name("look.css"))
    with st.bottom:
        st.html(f'<div class="lb notice" role="note"><strong>Not for diagnosis.</strong> {words.LIMITS}</div>')
    try:
        folder = export_folder()
        reader = open_reader(str(folder), stamp(folder))
    except UserError as error:
        st.title("Lightbox", anchor=False)
        st.info(f"There is no model to read images with yet. {error}", icon=":material/model_training:")
        return
    tested = reader.export.rules.tested_on
    st.title("Lightbox", anchor=False)
    st.html(
        f'<div class="lb small">{escape(reader.export.recipe.key)} tells '
        f"{escape(words.listed(reader.export.classes))} apart. Tested on {tested.images:,} images of "
        f"{tested.patients:,} patients.</div>"
    )
    archive = Archive(RAW)
    one, many, model = st.tabs(["One image", "Many images", "About the model"])
    with one:
        one_image.show(reader, archive)
    with many:
        many_images.show(reader, archive)
    with model:
        about.show(reader)


def icon() -> Image.Image:
    """A lit panel with two films: Streamlit would load an icon of its own from the network."""
    panel = np.full((32, 32, 3), (11, 13, 15), np.uint8)
    panel[5:27, 5:27] = (220, 235, 244)
    panel[9:23, 9:15] = panel[9:23, 17:23] = (40, 52, 60)
    return Image.fromarray(panel)


def export_folder() -> Path:
    named = os.environ.get(EXPORT)
    return Path(named) if named else ROOT / chosen_key()


def stamp(folder: Path) -> str:
    """Changes when the export does: a new version is read, the old one is forgotten."""
    certificate = folder / "certificate.json"
    return str(certificate.stat().st_mtime_ns) if certificate.is_file() else ""


@st.cache_resource(max_entries=2, show_spinner="Opening the model")
def open_reader(folder: str, stamp: str) -> Reader:
    return Reader.open(Path(folder))
