"""What a view provides. Its templates: figures.j2 and images.j2 are sections of the page, about_models.j2 and model.j2
belong to its section on single models, methods.j2 and limits.j2 to the text at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from ..numbers.comparison import Study
from ..read import Member


class View(Protocol):
    """A module with these names is a view."""

    CLASSES: str
    """What the outputs of a model are called."""
    CARD: str
    """What the figure of one model shows, in words."""

    FAILURES: Mapping[str, str]
    """Of the worst predictions of a model: title, sentence, and what `seen` shows."""

    def figures(self, study: Study) -> dict[str, Figure]:
        """By the name of their file."""

    def sheet(self, study: Study, rows: Sequence[int], models: Mapping[str, Member]) -> Figure:
        """Test images (rows of `Member.test`), and what each of the models, by label, made of them."""

    def cards(self, study: Study) -> Callable[[str], Figure]:
        """Key -> the figure of one model that figures show."""

    def tables(self, study: Study) -> dict[str, pd.DataFrame]:
        """By the name of their file in reports/compare/tables."""

    def of_page(self, study: Study, rows: Sequence[int]) -> dict[str, Any]:
        """What its templates want beside what all get. `rows`: of the test images that the page shows."""

    def failure(self, case: Mapping[str, Any]) -> str:
        """What the model said, in words. `case`: of the section `failures` of metrics.json."""

    def seen(self, m: Member, case: Mapping[str, Any]) -> Image.Image:
        """What explain drew of a case of the model."""

    def of_model(self, study: Study, m: Member) -> dict[str, Any]:
        """What model.j2 wants of a model that figures show."""
