"""The answer to a cost in the common form, as its bytes: what `encode` makes of it, in half of the time.

Told apart is only what such a cost can come to. Protobuf leaves out a number that is 0 and a text that is empty; so does this.
"""

from __future__ import annotations

from functools import lru_cache
from operator import neg
from typing import TYPE_CHECKING, TypeGuard

from meterd_server.model import Applied
from meterd_server.rpc.varints import VARINTS, varint

if TYPE_CHECKING:
    from meterd_server.model import Outcome, RecordedColumns
    from meterd_server.rpc.plain_costs import PlainCost, PlainCosts


def is_plain(outcome: Outcome) -> TypeGuard[Applied]:
    """Whether `recorded` can tell it: a new entry of a plain cost, with nothing more to say of it or of the account."""
    return (
        type(outcome) is Applied
        and not outcome.replayed
        and outcome.entry.more is None
        and outcome.account.more is None
    )


def recorded(applied: Applied, cost: PlainCost) -> str:
    """The result of a plain cost, in its place among a message's results."""
    entry, account, _ = applied
    return _result(
        entry.user_id,
        entry.version,
        entry.amount_microcents,
        entry.balance_microcents,
        entry.request_id,
        entry.service,
        cost.usage,
        entry.record_time_us,
        cost.rate_card,
        account.funded_microcents,
        account.spent_microcents,
        account.residue_picocents,
    )


def recorded_all(outcomes: RecordedColumns, costs: PlainCosts) -> str:
    """The results of plain costs, as `recorded` makes each."""
    commands, usages, rate_cards = costs
    numbers = outcomes.numbers
    results = map(
        _result,
        commands.user_ids,
        numbers.versions,
        map(neg, numbers.charges_microcents),
        outcomes.balances_microcents,
        commands.request_ids,
        commands.services,
        usages,
        numbers.record_times_us,
        rate_cards,
        numbers.funded_microcents,
        numbers.spent_microcents,
        numbers.residues_picocents,
    )
    return "".join(results)


def _result(  # noqa: PLR0917 -- columns are gone through side by side
    user_id: str,
    version: int,
    amount: int,
    balance: int,
    request_id: str,
    service: str,
    usage: str,
    record_time_us: int,
    rate_card: str,
    funded: int,
    spent: int,
    residue: int,
) -> str:
    user = f"\n{VARINTS[len(user_id)]}{user_id}"
    number = VARINTS[version] if version < 16_384 else varint(version)
    now = varint(balance) if balance else ""
    entry_text = (
        f"{user}\x10{number}\x18\x01{' ' + varint(amount) if amount else ''}{'(' + now if now else ''}"
        f"2{VARINTS[len(request_id)]}{request_id}{':' + VARINTS[len(service)] + service if service else ''}"
        f"{usage}{_record_time(record_time_us)}{rate_card}"
    )
    balance_text = (
        f"{user}{f'{chr(16)}{now} {now}' if now else ''}{'(' + varint(funded) if funded else ''}"
        f"{'0' + varint(spent) if spent else ''}P{number}{'X' + varint(residue) if residue else ''}"
    )
    entry_length, balance_length = VARINTS[len(entry_text)], VARINTS[len(balance_text)]
    # To put the two together first would copy both another time.
    length = 2 + len(entry_length) + len(entry_text) + len(balance_length) + len(balance_text)
    answer_length = VARINTS[length]
    return (
        f"\n{VARINTS[1 + len(answer_length) + length]}\x12{answer_length}"
        f"\n{entry_length}{entry_text}\x12{balance_length}{balance_text}"
    )


@lru_cache(64)  # a batch has one, and one more for each entry that an account makes in the same microsecond
def _record_time(time_us: int) -> str:
    seconds, microseconds = divmod(time_us, 1_000_000)
    text = (f"\x08{varint(seconds)}" if seconds else "") + (
        f"\x10{varint(microseconds * 1000)}" if microseconds else ""
    )
    return f"Z{VARINTS[len(text)]}{text}"
