"""The commands for whoever runs the platform: grants, policy, reverse."""

from datetime import UTC
from typing import Annotated

import typer
from rich.text import Text

import meterd
from meterd_server.cli.account_commands import UserArgument
from meterd_server.cli.money import format_money
from meterd_server.cli.output import format_policy, money_cells, new_table, print_json, say, show
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


def grants(
    context: typer.Context,
    user: UserArgument,
    *,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """List a user's money by when it expires.

    Costs draw from the first grant first, and from the base, which is the money without expiry, last.
    """
    with Target(context, address, timeout, as_json).session() as client:
        account = client.get_account(user)
    if as_json:
        print_json(account)
        return
    numeric = ("left", "µ¢", "of", "priority")
    table = new_table("grant", "label", *numeric, "expires (UTC)", numeric=numeric)
    for grant in account.grants:
        table.add_row(
            f"entry {grant.version}",
            Text(grant.label),
            *money_cells(grant.left_microcents),
            money_cells(grant.amount_microcents)[0],
            str(grant.priority),
            f"{grant.expire_time.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        )
    table.add_section()
    table.add_row("base", "", *money_cells(account.base_microcents), "", "", "never")
    show(table)


def policy(
    context: typer.Context,
    user: UserArgument,
    *,
    credit_limit: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="How far below zero the user may go, 0 or more.")
    ] = None,
    unlimited: Annotated[
        bool | None, typer.Option("--unlimited/--limited", help="Never find too little; costs are still recorded.")
    ] = None,
    frozen: Annotated[
        bool | None,
        typer.Option("--frozen/--not-frozen", help="Allow nothing new; incurred costs are still recorded."),
    ] = None,
    request_id: RequestIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Set what a user is allowed, whatever the balance.

    What is not given stays as it is.
    """
    if credit_limit is None and unlimited is None and frozen is None:
        raise typer.BadParameter("give it, --unlimited or --frozen, or their opposites", param_hint="'--credit-limit'")
    limit_microcents = None if credit_limit is None else amount(credit_limit, "--credit-limit")
    key = meterd.new_request_id() if request_id is None else request_id
    with Target(context, address, timeout, as_json).session(key) as client:
        recorded = client.set_account_policy(
            user, credit_limit_microcents=limit_microcents, unlimited=unlimited, frozen=frozen, request_id=key
        )
    if as_json:
        print_json(recorded)
        return
    now = recorded.balance
    allowed = meterd.AccountPolicy(now.credit_limit_microcents, now.unlimited, now.frozen)
    if recorded.replayed:
        say(Text.assemble(("replayed", "yellow"), ": already recorded, nothing changed"))
    say(f"{user}: {format_policy(allowed, format_money)}")
    say(f"available {format_money(now.available_microcents)}, request id {recorded.entry.request_id}")


def reverse(
    context: typer.Context,
    user: UserArgument,
    version: Annotated[
        int, typer.Argument(metavar="VERSION", help="The entry's number, as entries lists it.", show_default=False)
    ],
    *,
    amount_text: Annotated[
        str | None,
        typer.Argument(metavar="AMOUNT", help="How much of it. Default: all that is left.", show_default=False),
    ] = None,
    label: LabelOption = None,
    request_id: RequestIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Undo a cost, or money that came in.

    An opposite entry undoes all of it or a part, never more than the entry. What it had taken from grants goes back to them.
    """
    microcents = None if amount_text is None else amount(amount_text, "AMOUNT")
    pairs = labels(label)
    key = meterd.new_request_id() if request_id is None else request_id
    with Target(context, address, timeout, as_json).session(key) as client:
        recorded = client.reverse_entry(user, version, microcents, labels=pairs, request_id=key)
    if as_json:
        print_json(recorded)
        return
    entry = recorded.entry
    if recorded.replayed:
        say(Text.assemble(("replayed", "yellow"), ": already recorded, nothing reversed"))
    else:
        reversed_in_all = f"{format_money(entry.reversed_microcents)} of it in all"
        say(f"reversed {format_money(abs(entry.amount_microcents))} of entry {version} of {user}, {reversed_in_all}")
    say(f"balance {format_money(recorded.balance.balance_microcents)}, request id {entry.request_id}")
