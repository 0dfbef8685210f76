"""The commands that hold money before a cost is known: reserve, capture, release, extend."""

from datetime import UTC
from typing import Annotated

import typer
from rich.text import Text

import meterd
from meterd_server.cli.account_commands import UserArgument
from meterd_server.cli.money import format_money
from meterd_server.cli.output import format_usage, print_json, say
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
from meterd_server.cli.usage_options import ModelOption, UsageOption, amount_or_usage

_ReservationArgument = Annotated[
    str, typer.Argument(metavar="RESERVATION", help="Its id, as reserve printed it.", show_default=False)
]
_TtlOption = Annotated[
    float | None, typer.Option("--ttl", metavar="SECONDS", help="How long to hold it from now on, 1 to 86400.")
]


def reserve(
    context: typer.Context,
    user: UserArgument,
    *,
    amount_text: Annotated[
        str | None, typer.Argument(metavar="AMOUNT", help="How much to hold, 0 or more.", show_default=False)
    ] = None,
    service: Annotated[
        str, typer.Option(metavar="NAME", help="The metered service: for reports, and for the price of --usage.")
    ] = "",
    model: ModelOption = "",
    usage: UsageOption = None,
    ttl: _TtlOption = None,
    floor: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Charge at least this much if it expires. Default: nothing.")
    ] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Hold what there is when it is less than AMOUNT.")
    ] = False,
    label: LabelOption = None,
    request_id: RequestIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Hold money before a cost is known.

    It holds AMOUNT, or what the rate card of the service says of --usage, so that no other call can spend it: until it is captured
    or released, or --ttl is over, by default 300 seconds. Exits 1 when the user has too little, or is frozen.
    """
    amount_microcents, used = amount_or_usage(amount_text, "an AMOUNT", service, model, usage)
    floor_microcents = 0 if floor is None else amount(floor, "--floor")
    pairs = labels(label)
    key = meterd.new_request_id() if request_id is None else request_id
    with Target(context, address, timeout, as_json).session(key) as client:
        if used:
            hold = client.reserve_usage(
                user,
                used.service,
                model=used.model,
                quantities=used.quantities,
                ttl_seconds=ttl,
                floor_microcents=floor_microcents,
                allow_partial=allow_partial,
                labels=pairs,
                request_id=key,
            )
        else:
            hold = client.reserve(
                user,
                amount_microcents,
                ttl_seconds=ttl,
                floor_microcents=floor_microcents,
                allow_partial=allow_partial,
                service=service,
                labels=pairs,
                request_id=key,
            )
    what = f" for {format_usage(used)}" if used else ""
    done = f"reserved {format_money(hold.reservation.amount_microcents)} of {user}{what}{_until(hold.reservation)}"
    _show(hold.recorded, done, as_json)


def capture(
    context: typer.Context,
    user: UserArgument,
    reservation: _ReservationArgument,
    *,
    cost: Annotated[
        str | None, typer.Argument(metavar="COST", help="What it did cost, 0 or more.", show_default=False)
    ] = None,
    service: Annotated[str, typer.Option(metavar="NAME", help="The service of --usage.")] = "",
    model: ModelOption = "",
    usage: UsageOption = None,
    keep_open: Annotated[
        bool, typer.Option("--keep-open", help="Keep holding the rest, for further captures.")
    ] = False,
    label: LabelOption = None,
    request_id: RequestIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Charge what reserved work did cost.

    It did cost COST, or what the rate card of the service says of --usage; the rest of what was held is available again.

    The cost is real, so it is charged even if it is more than was held, or the reservation has expired.
    """
    cost_microcents, used = amount_or_usage(cost, "a COST", service, model, usage)
    pairs = labels(label)
    key = meterd.new_request_id() if request_id is None else request_id
    with Target(context, address, timeout, as_json).session(key) as client:
        if used:
            recorded = client.capture_usage(
                user,
                reservation,
                used.service,
                model=used.model,
                quantities=used.quantities,
                final=not keep_open,
                labels=pairs,
                request_id=key,
            )
        else:
            recorded = client.capture(
                user, reservation, cost_microcents, final=not keep_open, labels=pairs, request_id=key
            )
    what = f" for {format_usage(used)}" if used else ""
    unusual = (
        ", more than was held" if recorded.entry.overrun else ", late: it had expired" if recorded.entry.late else ""
    )
    done = f"charged {user} {format_money(-recorded.entry.amount_microcents)}{what}{unusual}"
    _show(recorded, done, as_json)


def release(
    context: typer.Context,
    user: UserArgument,
    reservation: _ReservationArgument,
    *,
    request_id: RequestIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """End a reservation without a charge.

    What is still held is available again.
    """
    key = meterd.new_request_id() if request_id is None else request_id
    with Target(context, address, timeout, as_json).session(key) as client:
        recorded = client.release(user, reservation, request_id=key)
    _show(recorded, f"released {format_money(-recorded.entry.held_microcents)} of {user}", as_json)


def extend(
    context: typer.Context,
    user: UserArgument,
    reservation: _ReservationArgument,
    *,
    ttl: _TtlOption = None,
    add: Annotated[str | None, typer.Option(metavar="AMOUNT", help="How much more to hold.")] = None,
    request_id: RequestIdOption = None,
    address: AddressOption = DEFAULT_ADDRESS,
    timeout: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Keep a reservation for longer, or hold more.

    Give --ttl, --add, or both.
    """
    if ttl is None and add is None:
        raise typer.BadParameter("give it, or --add", param_hint="'--ttl'")
    add_microcents = 0 if add is None else amount(add, "--add")
    key = meterd.new_request_id() if request_id is None else request_id
    with Target(context, address, timeout, as_json).session(key) as client:
        recorded = client.extend(user, reservation, ttl_seconds=ttl, add_microcents=add_microcents, request_id=key)
    held = format_money(recorded.reservation.held_microcents)
    _show(recorded, f"holding {held} of {user}{_until(recorded.reservation)}", as_json)


def _until(reservation: meterd.Reservation) -> str:
    return f", until {reservation.expire_time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _show(recorded: meterd.Recorded, done: str, as_json: bool) -> None:
    if as_json:
        print_json(recorded)
        return
    say(Text.assemble(("replayed", "yellow"), ": already recorded, nothing changed") if recorded.replayed else done)
    held = f", held {format_money(recorded.balance.held_microcents)}" if recorded.balance.held_microcents else ""
    say(f"available {format_money(recorded.balance.available_microcents)}{held}")
    about = recorded.reservation
    key = recorded.entry.request_id
    own = f", request id {key}" if key != about.reservation_id else ""
    say(f"reservation {about.reservation_id}: {about.state.lower()}{own}")
