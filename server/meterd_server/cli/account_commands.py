"""The commands that ask and tell a running daemon about one user: check, charge, fund, balance, entries."""

from datetime import UTC
from itertools import islice
from typing import Annotated

import typer
from rich.text import Text

import meterd
from meterd_server.cli.entries_output import show_entries
from meterd_server.cli.exits import Exit
from meterd_server.cli.money import format_money
from meterd_server.cli.output import balance_table, format_usage, print_json, say, show
from meterd_server.cli.session import (
    DEFAULT_ADDRESS,
    DEFAULT_TIMEOUT_SECONDS,
    AddressOption,
    JsonOption,
    LabelOption,
    RequestIdOption,
    Target,
    TimeoutOption,
    amount,
    labels,
)
from meterd_server.cli.times import moment
from meterd_server.cli.usage_options import ModelOption, UsageOption, amount_or_usage, usage_from

UserArgument = Annotated[
    str, typer.Argument(metavar="USER", help="Whose money it is: 1 to 128 bytes.", show_default=False)
]

_PAGE_SIZE_MAX = 1_000


def check(
    context: typer.Context,
    user: UserArgument,
    *,
    minimum: Annotated[
        str | None,
        typer.Option(metavar="AMOUNT", help="The least that must be available. Default: the daemon's, 100 microcents."),
    ] = None,
    service: Annotated[str, typer.Option(metavar="NAME", help="The service of --usage.")] = "",
    model: ModelOption = "",
    usage: UsageOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Ask whether a user may afford a call.

    The call costs --minimum, or what the rate card of the service says of --usage. It changes nothing. Exits 0 when allowed, 1 when
    not.
    """
    used = usage_from(service, model, usage)
    if used and minimum is not None:
        raise typer.BadParameter("give --minimum or --usage, not both", param_hint="'--minimum'")
    if service and not used:
        raise typer.BadParameter("goes with --usage only", param_hint="'--service'")
    minimum_microcents = None if minimum is None else amount(minimum, "--minimum")
    with Target(context, address, timeout, as_json).session() as client:
        if used:
            result = client.check_usage(user, used.service, model=used.model, quantities=used.quantities)
        else:
            result = client.check(user, minimum_microcents)
    if as_json:
        print_json(result)
    elif result.allowed:
        say(Text.assemble(("allowed", "green"), f": {user} has {format_money(result.available_microcents)} available"))
    else:
        say(
            Text.assemble(
                ("denied", "red"),
                f": {user} has {format_money(result.available_microcents)} available, "
                + (
                    "and is frozen"
                    if result.balance.frozen
                    else f"{format_money(result.shortfall_microcents)} too little"
                ),
            )
        )
    raise typer.Exit(Exit.DONE if result.allowed else Exit.NOT_COVERED)


def charge(
    context: typer.Context,
    user: UserArgument,
    *,
    cost: Annotated[
        str | None, typer.Argument(metavar="COST", help="What it did cost, 0 or more.", show_default=False)
    ] = None,
    service: Annotated[
        str, typer.Option(metavar="NAME", help="The metered service: for reports, and for the price of --usage.")
    ] = "",
    model: ModelOption = "",
    usage: UsageOption = None,
    label: LabelOption = None,
    request_id: RequestIdOption = None,
    reject_overdraft: Annotated[
        bool, typer.Option("--reject-overdraft", help="Charge only what is covered, else change nothing and exit 1.")
    ] = False,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Record what a use did cost.

    It did cost COST, or what the rate card of the service says of --usage.

    It is recorded exactly once per request id, and even below zero unless --reject-overdraft is given.
    """
    cost_microcents, used = amount_or_usage(cost, "a COST", service, model, usage)
    pairs = labels(label)
    key = meterd.new_request_id() if request_id is None else request_id
    with Target(context, address, timeout, as_json).session(key) as client:
        if used:
            recorded = client.record_usage(
                user,
                used.service,
                model=used.model,
                quantities=used.quantities,
                labels=pairs,
                request_id=key,
                reject_overdraft=reject_overdraft,
            )
        else:
            recorded = client.record_cost(
                user,
                cost_microcents,
                service=service,
                labels=pairs,
                request_id=key,
                reject_overdraft=reject_overdraft,
            )
    what = f" for {format_usage(used)}" if used else ""
    done = f"charged {user} {format_money(-recorded.entry.amount_microcents)}{what}"
    _show_recorded(recorded, done, "nothing charged", as_json)


def fund(
    context: typer.Context,
    user: UserArgument,
    *,
    amount_text: Annotated[
        str | None, typer.Argument(metavar="AMOUNT", help="What the user paid, more than 0.", show_default=False)
    ] = None,
    old: Annotated[
        str | None, typer.Option("--from", metavar="OLD", help="The user's funded total so far, as you know it.")
    ] = None,
    new: Annotated[
        str | None, typer.Option("--to", metavar="NEW", help="The new funded total; lower takes money back.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When what is left of AMOUNT lapses: 2027-01-31, with a time, 30d or 12h."),
    ] = None,
    priority: Annotated[
        int, typer.Option(metavar="N", help="With --expires: lower is drawn from first, -1000 to 1000.")
    ] = 0,
    grant_label: Annotated[str, typer.Option(metavar="TEXT", help="What the money is called.")] = "",
    label: LabelOption = None,
    request_id: RequestIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Record money that came in, or a new funded total.

    AMOUNT is added, exactly once per request id. With --expires it is a grant, which is drawn from before money without expiry.

    --from and --to replace the funded total, if it is OLD; else it exits 3 and says what the total is.
    """
    key = meterd.new_request_id() if request_id is None else request_id
    pairs = labels(label)
    target = Target(context, address, timeout, as_json)
    if amount_text is not None and old is None and new is None:
        microcents = amount(amount_text, "AMOUNT")
        expire_time = None if expires is None else moment(expires, "--expires")
        with target.session(key) as client:
            recorded = client.record_funding(
                user,
                microcents,
                expire_time=expire_time,
                priority=priority,
                label=grant_label,
                request_id=key,
                labels=pairs,
            )
        until = f", until {expire_time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if expire_time else ""
        done = f"funded {user} with {format_money(microcents)}{until}"
    elif amount_text is None and old is not None and new is not None:
        if expires is not None or priority or grant_label:
            raise typer.BadParameter("goes with an AMOUNT only", param_hint="'--expires'")
        before, after = amount(old, "--from"), amount(new, "--to")
        with target.session(key) as client:
            recorded = client.update_funding(
                user, old_amount_microcents=before, new_amount_microcents=after, request_id=key, labels=pairs
            )
        done = f"funding of {user} went from {format_money(before)} to {format_money(after)}"
    else:
        raise typer.BadParameter("give an AMOUNT, or both --from and --to", param_hint="'AMOUNT'")
    _show_recorded(recorded, done, "nothing added", as_json)


def balance(
    context: typer.Context,
    user: UserArgument,
    *,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Show a user's balance.

    An unknown user is no error: no entries, every amount 0.
    """
    with Target(context, address, timeout, as_json).session() as client:
        account = client.get_balance(user)
    if as_json:
        print_json(account)
    else:
        show(balance_table(account))


def entries(
    context: typer.Context,
    user: UserArgument,
    *,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Begin with the first entry.")] = False,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many entries at most.")] = 20,
    all_entries: Annotated[bool, typer.Option("--all", help="All of them, whatever --limit says.")] = False,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """List a user's ledger entries, newest first.

    With --json it prints one object per line (JSON Lines).
    """
    page_size = _PAGE_SIZE_MAX if all_entries else min(limit, _PAGE_SIZE_MAX)
    with Target(context, address, timeout, as_json).session() as client:
        listed = client.list_entries(user, oldest_first=oldest_first, page_size=page_size)
        wanted = listed if all_entries else islice(listed, limit)
        if as_json:
            for entry in wanted:
                print_json(entry)
            return
        rows = list(wanted)
    if rows:
        show_entries(rows)
    else:
        say(f"{user} has no entries")


def _show_recorded(recorded: meterd.Recorded, done: str, nothing_done: str, as_json: bool) -> None:
    if as_json:
        print_json(recorded)
        return
    if recorded.replayed:
        say(Text.assemble(("replayed", "yellow"), f": already recorded, {nothing_done}"))
    else:
        say(done)
    say(f"balance {format_money(recorded.balance.balance_microcents)}, request id {recorded.entry.request_id}")
