"""Small drawings as HTML, which take their colours from look.css, light or dark. Streamlit lets no SVG through."""

from __future__ import annotations

from collections.abc import Sequence


def gauge(probability: float, threshold: float | None) -> str:
    """A bar that is filled up to the probability, with a mark at the threshold."""
    mark = "" if threshold is None else f'<i style="left:{100 * threshold:.2f}%"></i>'
    return f'<div class="gauge"><b style="width:{100 * probability:.2f}%"></b>{mark}</div>'


def histogram(positives: Sequence[int], negatives: Sequence[int], threshold: float, own: float, about: str) -> str:
    """Images by probability, in bins of equal width from 0 to 1: positives upwards, negatives downwards, coloured where
    they are on the wrong side of the threshold. `own`: of the image that is read. `about`: for screen readers."""
    highest = max(*positives, *negatives, 1)
    bars = list[str]()
    for i, (up, down) in enumerate(zip(positives, negatives, strict=True)):
        called = (i + 0.5) / len(positives) > threshold
        kinds = ("right", "wrong") if called else ("wrong", "right")
        heights = (f"{100 * count / highest:.1f}%" for count in (up, down))
        bars.append(
            "<div>"
            + "".join(f'<s><b class="{k}" style="height:{h}"></b></s>' for k, h in zip(kinds, heights, strict=True))
            + "</div>"
        )
    marks = f'<i style="left:{100 * threshold:.2f}%"></i><u style="left:{100 * own:.2f}%"></u>'
    ticks = "".join(f"<span>{x}%</span>" for x in (0, 25, 50, 75, 100))
    return (
        f'<div class="scores" role="img" aria-label="{about}"><div class="bars">{"".join(bars)}{marks}</div>'
        f'<div class="ticks">{ticks}</div></div>'
    )
