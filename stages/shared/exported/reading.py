"""What an answer means in plain words: settings, so that a hospital can say it in its own."""

from __future__ import annotations

from ..core.settings import Settings


class Reading(Settings):
    """One sentence for each kind of answer."""

    above: str = "Above the threshold: a radiologist should look at this first."
    """A class that is not the healthy one is called."""
    below: str = "Below the threshold: read it in the usual order."
    """None is called. It does not say that the patient is healthy."""
    abstain: str = "Not certain enough: leave this image to a human."
    """Less certain than `evaluate.abstain` asks for."""
