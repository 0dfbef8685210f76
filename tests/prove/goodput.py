"""How much is carried out while too much is asked, in times of what is at the best: a median, for machines are never quiet."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS = 5
GOODPUT_MIN = 0.9


def goodput(pair: Callable[[int], float], pairs: int = PAIRS) -> str:
    """Measure `pair`, one right after the other, and say what it came to; AssertionError if the median is too little.

    `pair` is given its number, and measures both what is done at the best and what is done when too much is asked.
    """
    ratios = sorted(pair(number) for number in range(pairs))
    text = f"{median(ratios):.2f} times that, the median of {pairs} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    assert median(ratios) >= GOODPUT_MIN, f"what is carried out is {text}"
    return text
