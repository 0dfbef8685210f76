"""The answers to costs in the common form, as their bytes: what `encode` makes of them, in half of the time.

They are put together a column at a time, a field of all answers after the other. Told apart is only what such a cost can come to.
Protobuf leaves out a number that is 0 and a text that is empty; so does this.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import repeat
from operator import neg
from typing import TYPE_CHECKING, TypeGuard

from meterd._varints import VARINTS, varint
from meterd_server.model import Applied
from meterd_server.rpc.plain_costs import USAGE_TAG
from meterd_server.rpc.varints import varints

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meterd_server.model import Outcome, RecordedColumns
    from meterd_server.rpc.plain_costs import PlainCost, PlainCosts

    Column = Iterable[str]


def is_plain(outcome: Outcome) -> TypeGuard[Applied]:
    """Whether `recorded_each` can tell it: a new entry of a plain cost, with nothing more to say of it or of the account."""
    return (
        type(outcome) is Applied
        and not outcome.replayed
        and outcome.entry.more is None
        and outcome.account.more is None
    )


def recorded_each(recorded: Sequence[tuple[PlainCost, Applied]]) -> list[str]:
    """The results of plain costs, each in its place among a message's results."""
    if not recorded:
        return []
    rows = [
        (
            entry.user_id,
            entry.version,
            entry.amount_microcents,
            entry.balance_microcents,
            entry.request_id,
            entry.service,
            entry.record_time_us,
            account.funded_microcents,
            account.spent_microcents,
            account.residue_picocents,
        )
        for _, (entry, account, _) in recorded
    ]
    _, usages, rate_cards = zip(*(cost for cost, _ in recorded), strict=True)
    return _results(*zip(*rows, strict=True), usages=[usages], rate_cards=[rate_cards])


def recorded_all(outcomes: RecordedColumns, costs: PlainCosts) -> list[str]:
    """As `recorded_each`, for costs in columns."""
    commands, usages, rate_cards = costs
    numbers = outcomes.numbers
    return _results(
        commands.user_ids,
        numbers.versions,
        [*map(neg, numbers.charges_microcents)],
        outcomes.balances_microcents,
        commands.request_ids,
        commands.services,
        numbers.record_times_us,
        numbers.funded_microcents,
        numbers.spent_microcents,
        numbers.residues_picocents,
        usages=[repeat(USAGE_TAG), usages] if usages else (),
        rate_cards=[rate_cards] if usages else (),
    )


def _results(  # noqa: PLR0917 -- columns go side by side
    user_ids: Sequence[str],
    versions: Sequence[int],
    amounts: Sequence[int],
    balances: Sequence[int],
    request_ids: Sequence[str],
    services: Sequence[str],
    record_times_us: Sequence[int],
    all_funded: Sequence[int],
    all_spent: Sequence[int],
    residues: Sequence[int],
    *,
    usages: Sequence[Column] = (),
    rate_cards: Sequence[Column] = (),
) -> list[str]:
    users = [f"\n{VARINTS[len(user_id)]}{user_id}" for user_id in user_ids]
    version_texts, balance_texts = varints(versions), varints(balances)
    service_of = {service: f":{VARINTS[len(service)]}{service}" if service else "" for service in {*services}}
    entries = _joined(
        users,
        repeat("\x10"),
        version_texts,
        repeat("\x18\x01"),
        *_field(" ", amounts),
        *_field("(", balances, balance_texts),
        [f"2{VARINTS[len(request_id)]}{request_id}" for request_id in request_ids],
        map(service_of.__getitem__, services),
        *usages,
        map(_record_time, record_times_us),
        *rate_cards,
    )
    balances_after = _joined(
        users,
        *_field("\x10", balances, balance_texts),
        *_field(" ", balances, balance_texts),
        *_field("(", all_funded),
        *_field("0", all_spent),
        repeat("P"),
        version_texts,
        *_field("X", residues),
    )
    answers = [
        f"\n{VARINTS[len(entry)]}{entry}\x12{VARINTS[len(balance)]}{balance}"
        for _, entry, balance in zip(users, entries, balances_after, strict=True)
    ]
    lengths = [VARINTS[len(answer)] for answer in answers]
    return [
        f"\n{VARINTS[1 + len(length) + len(answer)]}\x12{length}{answer}"
        for length, answer in zip(lengths, answers, strict=True)
    ]


def _joined(*columns: Column) -> list[str]:
    return [*map("".join, zip(*columns))]  # noqa: B905 -- some of them go on for ever


def _field(tag: str, numbers: Sequence[int], texts: Sequence[str] = ()) -> tuple[Column, ...]:
    """The columns of a field of these numbers; `texts` are theirs, if they are known."""
    if not any(numbers):
        return ()
    texts = texts or varints(numbers)
    if 0 in numbers:
        return ([tag + text if number else "" for number, text in zip(numbers, texts, strict=True)],)
    return repeat(tag), texts


@lru_cache(64)  # a batch has one, and one more for each entry that an account makes in the same microsecond
def _record_time(time_us: int) -> str:
    seconds, microseconds = divmod(time_us, 1_000_000)
    text = (f"\x08{varint(seconds)}" if seconds else "") + (
        f"\x10{varint(microseconds * 1000)}" if microseconds else ""
    )
    return f"Z{VARINTS[len(text)]}{text}"
