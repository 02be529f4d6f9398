"""The page as a whole: which model reads, and its tabs."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from ...shared.core import settings
from ...shared.core.errors import UserError
from ...shared.core.paths import RAW
from ...shared.core.words import listed
from ...shared.exported import certificate as certificates
from ...shared.images.archive import Archive
from ...study import registered_name, tool_settings
from ..http.command import follow, make_models
from ..http.models import Models
from ..params import Params
from ..service import Service
from . import about, many_images, one_image, words
from .command import EXPORT
from .reader import Reader


def show() -> None:
    st.set_page_config("Lightbox", page_icon=icon(), layout="wide")
    st.html(Path(__file__).with_name("look.css"))
    with st.bottom:
        st.html(f'<div class="lb notice" role="note"><strong>Not for diagnosis.</strong> {words.LIMITS}</div>')
    try:
        reader = current_reader(os.environ.get(EXPORT, ""))
    except UserError as error:
        st.title("Lightbox", anchor=False)
        st.info(f"There is no model to read images with. {error}", icon=":material/model_training:")
        return
    tested = reader.export.rules.tested_on
    st.title("Lightbox", anchor=False)
    st.html(
        f'<div class="lb small">{escape(reader.export.recipe.key)} tells '
        f"{escape(listed(reader.export.classes))} apart. Tested on {tested.images:,} images of "
        f"{tested.patients:,} patients.</div>"
    )
    if reader.export.needs_mask:
        st.info(words.NEEDS_MASK, icon=":material/crop:")
        about.show(reader)
        return
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


def current_reader(named: str) -> Reader:
    """Of the model that answers now. `named`: an export that the command line named, or ""."""
    found = models(named, stamp(named))
    if found.service is None:
        reason = found.refused.reason if found.refused else found.registry
        raise UserError(reason or "The registry has not answered yet. Load this page again in a moment.")
    return reader_of(found.service, found.service.version, found.service.export.certificate.digest)


@st.cache_resource(max_entries=1, show_spinner="Looking for a model; the first time it is exported")
def models(named: str, stamp: str) -> Models:
    """As the server has them: the champion of the registry, else what validation chose. A new champion takes over."""
    raw = settings.read()
    params, name = tool_settings(Params, raw, "serve"), registered_name(raw)
    found, _ = make_models(params, name, Path(named) if named else None, champion_only=False)
    if named:
        found.serve(Path(named))
    else:
        follow(found, params, name, champion_only=False)
    return found


def stamp(named: str) -> str:
    """Changes when a named export does."""
    certificate = Path(named) / certificates.FILE
    return str(certificate.stat().st_mtime_ns) if named and certificate.is_file() else ""


@st.cache_resource(max_entries=2, show_spinner="Opening the model")
def reader_of(_service: Service, version: str, digest: str) -> Reader:
    return Reader.of(_service)
