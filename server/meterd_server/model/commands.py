"""What the ledger may be asked to do. Each field was checked on its own before; the rules see to what depends on the account."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, final

if TYPE_CHECKING:
    from meterd_server.model.entries import GrantTerms, Labels, RateCardKey, Usage


class PricedUsage(NamedTuple):
    """A usage with its price by the card that was valid then. What of it is charged, in microcents, the account decides."""

    usage: Usage
    picocents: int
    rate_card: RateCardKey


@final
class RecordCost(NamedTuple):
    """A use did cost this much, or, with `priced`, what the price of the usage comes to for the account."""

    user_id: str
    request_id: str
    cost_microcents: int
    service: str = ""
    labels: Labels = ()
    reject_overdraft: bool = False
    occur_time_us: int | None = None
    request_id_is_new: bool = False
    """True when this server just made the id, so that no earlier entry can have it."""
    priced: PricedUsage | None = None
    """The usage, when that was recorded: then `cost_microcents` is 0."""


class RecordFunding(NamedTuple):
    """Money came in, or, with `expected_funded_microcents`, the funded total changed by `amount_microcents` from there."""

    user_id: str
    request_id: str
    amount_microcents: int
    expected_funded_microcents: int | None = None
    labels: Labels = ()
    request_id_is_new: bool = False
    grant: GrantTerms | None = None
    """None, never the default, for money that nothing more is said of."""


class Reserve(NamedTuple):
    """Set money aside, this much or what the price of the usage comes to now; `ttl_us` from now on."""

    user_id: str
    request_id: str
    amount_microcents: int
    ttl_us: int
    captures_floor: bool = False
    """Whether the expiry charges what is missing to the floor."""
    floor_microcents: int = 0
    allow_partial: bool = False
    """Whether what there is will do, if it is anything."""
    service: str = ""
    labels: Labels = ()
    request_id_is_new: bool = False
    priced: PricedUsage | None = None


class Capture(NamedTuple):
    """What was reserved for did cost this much, or what the price of the usage comes to; with `final`, that was all."""

    user_id: str
    request_id: str
    reservation_id: str
    cost_microcents: int
    final: bool = True
    labels: Labels = ()
    occur_time_us: int | None = None
    request_id_is_new: bool = False
    priced: PricedUsage | None = None


class Release(NamedTuple):
    """What was reserved for will not come: end the reservation."""

    user_id: str
    request_id: str
    reservation_id: str
    request_id_is_new: bool = False


class Extend(NamedTuple):
    """Keep a reservation for `ttl_us` from now on, None for as long as it was to be, and set aside this much more."""

    user_id: str
    request_id: str
    reservation_id: str
    ttl_us: int | None = None
    add_microcents: int = 0
    request_id_is_new: bool = False
    fill_to_microcents: int | None = None
    """Instead of adding: set aside what is missing to holding this much, or what of it there is. From the daemon itself."""


class SetPolicy(NamedTuple):
    """Change what an account is allowed; None leaves as it is."""

    user_id: str
    request_id: str
    credit_limit_microcents: int | None = None
    unlimited: bool | None = None
    frozen: bool | None = None
    request_id_is_new: bool = False


class Reverse(NamedTuple):
    """Undo so much of an entry's effect on the balance, None for all that is left of it."""

    user_id: str
    request_id: str
    version: int
    amount_microcents: int | None = None
    labels: Labels = ()
    request_id_is_new: bool = False


class Expire(NamedTuple):
    """End a reservation if its time is over. From the daemon itself, whose request ids no caller can make."""

    user_id: str
    request_id: str
    reservation_id: str
    request_id_is_new: bool = True
    at_once_if_expires_us: int | None = None
    """End it before its time, if that is still this time: nobody has kept it for longer meanwhile."""


@final
class Lapse(NamedTuple):
    """Take back what is left of grants whose time is over. From the daemon itself; each entry has a request id of its own."""

    user_id: str


@final
class Check(NamedTuple):
    """May the user afford this much, after what was asked before? Changes nothing, and needs no request_id."""

    user_id: str
    minimum_microcents: int
    picocents: int | None = None
    """The price of a usage, to ask for what that comes to for the account, instead of the minimum."""


Change = RecordCost | RecordFunding | Reserve | Capture | Release | Extend | SetPolicy | Reverse | Expire
"""A command that makes an entry, under its request id."""

Command = Change | Lapse | Check
