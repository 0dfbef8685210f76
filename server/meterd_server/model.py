"""The ledger's nouns, as immutable tuples: what `rules` decides on, stores keep and the wire carries.

Amounts are microcents (10^-6 US cent), times microseconds since the Unix epoch, both as int. They are NamedTuples because
several are made for every call, and a NamedTuple is made three times faster than a frozen dataclass.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meterd_server.errors import Reason

OPERATION_MICROCENTS_MAX = 10**15
"""The most that one operation may move: $10,000,000."""

ACCOUNT_MICROCENTS_MAX = 9 * 10**18
"""The most that a balance or a total may reach in either direction; just below what an int64 holds."""

Labels = tuple[tuple[str, str], ...]
"""A caller's labels, sorted by key, so that equal labels compare equal."""


Quantities = tuple[tuple[str, int], ...]
"""Units by meter, sorted by meter, so that equal usage compares equal."""


class Usage(NamedTuple):
    """What was used of a service, in its own units."""

    service: str
    model: str
    quantities: Quantities


class RateCardKey(NamedTuple):
    """Names a version of a rate card for ever."""

    service: str
    model: str
    version: int


class PricedUsage(NamedTuple):
    """A usage with its price by the card that was valid then. What of it is charged, in microcents, the account decides."""

    usage: Usage
    picocents: int
    rate_card: RateCardKey


class EntryKind(IntEnum):
    """What an entry did; the numbers are stored and on the wire (meterd.v1.EntryKind)."""

    COST = 1
    FUNDING = 2


class Account(NamedTuple):
    """One user's money after the entry `version`; version 0 is a user without any entry."""

    user_id: str
    version: int = 0
    funded_microcents: int = 0
    spent_microcents: int = 0
    record_time_us: int = 0
    residue_picocents: int = 0
    """What was used but not charged, because it is less than a microcent."""

    @property
    def balance_microcents(self) -> int:
        """Funded minus spent; negative after an overdraft."""
        return self.funded_microcents - self.spent_microcents

    @property
    def available_microcents(self) -> int:
        """What Check compares with the minimum."""
        return self.funded_microcents - self.spent_microcents


class Entry(NamedTuple):
    """One append-only row of the ledger, identified by (user_id, version)."""

    user_id: str
    version: int
    kind: EntryKind
    amount_microcents: int
    balance_microcents: int
    request_id: str
    fingerprint: int
    service: str
    labels: Labels
    occur_time_us: int | None
    record_time_us: int
    residue_picocents: int = 0
    """The account's, after this entry."""
    usage: Usage | None = None
    rate_card: RateCardKey | None = None
    """By which the usage was charged."""


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
    """True when this server just made the id, so that no earlier entry can have it."""


class Check(NamedTuple):
    """May the user afford this much, after what was asked before? Changes nothing, and needs no request_id."""

    user_id: str
    minimum_microcents: int
    picocents: int | None = None
    """The price of a usage, to ask for what that comes to for the account, instead of the minimum."""


Change = RecordCost | RecordFunding
"""A command that makes an entry."""

Command = Change | Check


class Checked(NamedTuple):
    """The account as the Check found it, and how much is missing; 0 when the minimum is available."""

    account: Account
    shortfall_microcents: int


class Applied(NamedTuple):
    """The command's entry is in the ledger; `replayed` when it was there before."""

    entry: Entry
    account: Account
    replayed: bool


class Rejection(NamedTuple):
    """The command changed nothing, and why. `details` become the error's metadata."""

    reason: Reason
    message: str
    details: Mapping[str, object] = {}


Outcome = Applied | Checked | Rejection
