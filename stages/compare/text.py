"""Numbers as text, the same on the page and in the terminal. None and NaN are values that are not defined: a dash."""

from __future__ import annotations

import math

DASH = "–"


def number(value: float | None, digits: int = 3) -> str:
    return DASH if value is None or math.isnan(value) else f"{value:,.{digits}f}".replace("-", "−")


def count(value: float | None) -> str:
    """With thousands separated: 1,234."""
    return number(value, 0)


def signed(value: float | None) -> str:
    """With a true minus sign, so that columns line up; what rounds to zero has no sign."""
    if value is None or math.isnan(value):
        return DASH
    text = f"{value:+.3f}".replace("-", "−")
    return "0.000" if text[1:] == "0.000" else text


def span(low: float | None, high: float | None) -> str:
    return f"{number(low)}–{number(high)}" if number(low) != DASH or number(high) != DASH else DASH


def signed_span(low: float | None, high: float | None) -> str:
    return f"{signed(low)} to {signed(high)}"


def images_needed(value: float | None, largest: float) -> str:
    """Of a learning curve that ends at `largest`: a number, or beyond which end of the curve it lies."""
    if value is None or math.isnan(value):
        return DASH
    if value == 0:
        return "fewer than any"
    return f"more than {count(largest)}" if math.isinf(value) else count(value)


def images_span(low: float | None, high: float | None, largest: float) -> str:
    """Once, where both ends lie beyond the same end of the curve."""
    ends = [images_needed(value, largest) for value in (low, high)]
    return " to ".join(dict.fromkeys(ends))


def duration(seconds: float | None) -> str:
    if seconds is None or math.isnan(seconds):
        return DASH
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def level(confidence: float) -> str:
    """Coverage of an interval: 0.95 -> 95%."""
    return f"{100 * confidence:g}%"
