"""How entries are printed for people."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

import meterd
from meterd_server.cli import output
from meterd_server.cli.money import format_dollars
from meterd_server.cli.output import format_policy, format_usage, money_cells, new_table, say, show

_TABLE_COLUMNS_MIN = 160
_KIND_WIDTH = max(len(kind) for kind in meterd.EntryKind)


def show_entries(entries: Sequence[meterd.Entry]) -> None:
    """Print entries in the order given: as a table, or in two lines each where the terminal has no room for one."""
    if output.console().width >= _TABLE_COLUMNS_MIN:
        show(_table(entries))
        return
    for entry in entries:
        amount, microcents = money_cells(entry.amount_microcents)
        head = f"{entry.version:>6}  {_time(entry.record_time)}  {entry.kind.name.lower():<{_KIND_WIDTH}}"
        amount.pad_left(max(0, 16 - len(amount)))
        microcents.pad_left(max(0, 22 - len(microcents)))
        say(Text.assemble(head, amount, microcents))
        about = (
            f"balance {format_dollars(entry.balance_microcents)}",
            _held(entry) and f"held {_held(entry)}",
            entry.service,
            _about(entry),
            _labels(entry),
            entry.request_id,
        )
        say(Text(" " * 8 + "  ".join(part for part in about if part), "dim"))


def _table(entries: Sequence[meterd.Entry]) -> Table:
    """Return the entries as a table; what none of them has gets no column."""
    some_held, some_about = any(map(_held, entries)), any(map(_about, entries))
    numeric = ("version", "amount", "µ¢", "balance after", *(("held",) if some_held else ()))
    texts = ("service", *(("about",) if some_about else ()), "labels", "request id")
    table = new_table("version", "recorded (UTC)", "kind", *numeric[1:], *texts, numeric=numeric)
    for entry in entries:
        held = (_held(entry),) if some_held else ()
        about = (_about(entry),) if some_about else ()
        table.add_row(
            str(entry.version),
            _time(entry.record_time),
            entry.kind.name.lower(),
            *money_cells(entry.amount_microcents),
            money_cells(entry.balance_microcents)[0],
            *(Text(text) for text in (*held, entry.service, *about, _labels(entry), entry.request_id)),
        )
    return table


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _held(entry: meterd.Entry) -> str:
    """What an entry did to what is held: `+$0.05000000`."""
    sign = "+" if entry.held_microcents > 0 else ""
    return f"{sign}{format_dollars(entry.held_microcents)}" if entry.held_microcents else ""


def _about(entry: meterd.Entry) -> str:
    """Return what there is to say of an entry beside its amounts."""
    reservation, policy = entry.reservation, entry.policy
    parts = (
        format_usage(entry.usage) if entry.usage else "",
        f"of {reservation.reservation_id}" if reservation and reservation.reservation_id != entry.request_id else "",
        "more than was held" if entry.overrun else "",
        "late" if entry.late else "",
        entry.label,
        f"expires {_time(entry.expire_time)}" if entry.expire_time else "",
        f"priority {entry.priority}" if entry.priority else "",
        f"reverses {entry.reversed_version}" if entry.reversed_version else "",
        format_policy(policy, format_dollars) if policy else "",
    )
    return ", ".join(part for part in parts if part)


def _labels(entry: meterd.Entry) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(entry.labels.items()))
