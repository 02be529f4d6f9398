"""The name of the study's model in MLflow's registry: said once, in the section `registry`, and asked by every tool."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .settings import Settings


class Registered(Settings):
    name: Annotated[str, Field(pattern=r"^[\w .-]+$")] = "lightbox"
    """Of the registered model in MLflow: the one that gate and promote write, and that servers answer with."""
