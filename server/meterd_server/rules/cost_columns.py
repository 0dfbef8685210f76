"""What many plain costs come to, where nothing stands in the way: as `decide_batch`, in a third of the time."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from meterd_server.model import ACCOUNT_MICROCENTS_MAX, Account, Numbers, RecordedColumns
from meterd_server.model.flat import made
from meterd_server.pricing import PICOCENTS_PER_MICROCENT
from meterd_server.rules.fingerprints import COVERED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterd_server.model import CostColumns


class CostDecision(NamedTuple):
    """What becomes of the costs, and the accounts after them."""

    recorded: RecordedColumns
    accounts: Sequence[Account]
    """In the order in which they were given."""


def decide_costs(
    accounts: Sequence[Account], places: Sequence[int], costs: CostColumns, now_us: int
) -> CostDecision | None:
    """Decide costs in order, whose request ids were never recorded; None where that takes more than adding up.

    It does for an account of which there is more to say, for a total out of range, and for a request id that comes twice.
    `accounts` and `places` are those of `costs.users()`.
    """
    if any(account.more is not None for account in accounts):
        return None
    after = [*accounts]
    request_ids = costs.request_ids
    count = len(request_ids)
    if len({*request_ids}) < count and len({*zip(places, request_ids, strict=True)}) < count:
        return None
    steps: list[Account] = []
    charges: list[int] = []
    picocents = costs.priced.picocents if costs.priced else repeat(None)
    for place, cost, price in zip(places, costs.costs_microcents, picocents):  # noqa: B905 -- the last may go on for ever
        user_id, version, funded, spent, record_time_us, residue, _ = after[place]
        charge = cost
        if price is not None:
            charge, residue = divmod(residue + price, PICOCENTS_PER_MICROCENT)
        record_time_us = now_us if now_us > record_time_us else record_time_us + 1
        after[place] = account = made(
            Account, (user_id, version + 1, funded, spent + charge, record_time_us, residue, None)
        )
        charges.append(charge)
        steps.append(account)
    _, versions, all_funded, all_spent, times_us, residues_picocents, _ = zip(*steps, strict=True)
    # Nothing else can leave its range: what was funded is never below zero, so a balance is never further below than this.
    if max(all_spent) > ACCOUNT_MICROCENTS_MAX:
        return None
    numbers = Numbers(versions, charges, all_funded, all_spent, times_us, residues_picocents)
    return CostDecision(RecordedColumns(costs, COVERED, numbers), after)
