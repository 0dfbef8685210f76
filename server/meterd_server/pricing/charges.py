"""From picocents to what an account is charged, and to what it can still afford."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from meterd_server.model import OPERATION_MICROCENTS_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meterd_server.pricing.cards import RateCard

PICOCENTS_PER_MICROCENT = 1_000_000

OPERATION_PICOCENTS_MAX = OPERATION_MICROCENTS_MAX * PICOCENTS_PER_MICROCENT
"""The highest price of one usage: with any residue, its charge is still within what one operation may move."""

QUANTITY_MAX = 2**63 - 1
"""The most units of a meter that one usage can name: an int64."""


class Charge(NamedTuple):
    """What a usage takes from an account."""

    microcents: int
    """What is charged now."""
    residue_picocents: int
    """What the account owes below a microcent from now on: 0 to 999,999 picocents."""


def charge(residue_picocents: int, picocents: int) -> Charge:
    """Charge `picocents` to an account that owes a residue. Also the quote: what this usage would cost the account now.

    The sum of all charges of an account is the price of all its usage, rounded down once.
    """
    return Charge(*divmod(residue_picocents + picocents, PICOCENTS_PER_MICROCENT))


def affordable_units(
    card: RateCard,
    quantities: Mapping[str, int],
    meter: str,
    available_microcents: int,
    residue_picocents: int = 0,
) -> int:
    """Return how many units of `meter` can be used on top of `quantities` without the charge exceeding what is available.

    Any number of units up to it is affordable as well, so that a caller may use it as a cap: where a tier makes large calls
    cheaper, it is the number before the first that is too expensive. 0 when `quantities` alone are too expensive. At most what
    one usage may name and one operation may cost. Raises KeyError with the first meter that is not priced.
    """
    budget_picocents = min(
        (available_microcents + 1) * PICOCENTS_PER_MICROCENT - 1 - residue_picocents, OPERATION_PICOCENTS_MAX
    )
    used = quantities.get(meter, 0)

    def price_with(units: int) -> int:
        return card.price({**quantities, meter: used + units})

    # Within a segment no tier begins, so that more units never cost less.
    begins = {0} | {
        tier.over + 1 - sum(quantities.get(each, 0) for each in tier.meters)
        for tier in card.tiers
        if meter in tier.meters
    }
    most = QUANTITY_MAX - used
    starts = sorted(start for start in begins if 0 <= start <= most)
    for start, end in zip(starts, [*(start - 1 for start in starts[1:]), most], strict=True):
        if price_with(end) > budget_picocents:
            return max(0, start - 1 + bisect_right(range(start, end), budget_picocents, key=price_with))
    return most
