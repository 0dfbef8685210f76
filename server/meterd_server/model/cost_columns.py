"""Many costs of the plainest form, and what became of them, a column for each field.

To make a command, an entry and an account for each of a thousand costs takes longer than storing them. Each column is a list that
C code goes through in one step; who wants one of the rows is given the noun that it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat
from operator import sub
from typing import TYPE_CHECKING, NamedTuple, TypeVar, overload

from meterd_server.model.accounts import Account
from meterd_server.model.commands import Command, PricedUsage, RecordCost
from meterd_server.model.entries import Entry, EntryKind
from meterd_server.model.flat import made
from meterd_server.model.outcomes import Applied, Outcome
from meterd_server.model.usage_text import read_usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_T = TypeVar("_T")


class PricedColumns(NamedTuple):
    """What costs have that are usage."""

    picocents: Sequence[int]
    usage_texts: Sequence[str]
    """The usage and its rate card, as `usage_text` writes them."""


class CostUsers(NamedTuple):
    """Whose costs they are."""

    user_ids: Sequence[str]
    """Each user once, in the order of their first costs."""
    places: Sequence[int]
    """The place of each cost's user among them."""


class CostColumns(Sequence[RecordCost]):
    """Commands that say nothing but whose cost it was, how much, of which service; either all of them are of usage, or none is.

    All columns are equally long.
    """

    __slots__ = ("costs_microcents", "priced", "request_ids", "services", "user_ids")

    def __init__(
        self,
        user_ids: Sequence[str],
        request_ids: Sequence[str],
        costs_microcents: Sequence[int],
        services: Sequence[str],
        priced: PricedColumns | None = None,
    ) -> None:
        self.user_ids = user_ids
        self.request_ids = request_ids
        self.costs_microcents = costs_microcents
        self.services = services
        self.priced = priced

    def users(self) -> CostUsers:
        """Whose costs they are, by numbers: a list is looked into faster than a dict, and most batches have nobody twice."""
        user_ids = [*dict.fromkeys(self.user_ids)]
        if len(user_ids) == len(self.user_ids):
            return CostUsers(user_ids, range(len(user_ids)))
        places = {user_id: place for place, user_id in enumerate(user_ids)}
        return CostUsers(user_ids, [*map(places.__getitem__, self.user_ids)])

    def __len__(self) -> int:
        return len(self.user_ids)

    @overload
    def __getitem__(self, place: int) -> RecordCost: ...

    @overload
    def __getitem__(self, place: slice) -> CostColumns: ...

    def __getitem__(self, place: int | slice) -> RecordCost | CostColumns:
        if isinstance(place, slice):
            return CostColumns(
                self.user_ids[place],
                self.request_ids[place],
                self.costs_microcents[place],
                self.services[place],
                self.priced and PricedColumns(self.priced.picocents[place], self.priced.usage_texts[place]),
            )
        return RecordCost(
            self.user_ids[place],
            self.request_ids[place],
            self.costs_microcents[place],
            self.services[place],
            priced=self.priced and _priced(self.priced.picocents[place], self.priced.usage_texts[place]),
        )

    def __iter__(self) -> Iterator[RecordCost]:
        priced = map(_priced, *self.priced) if self.priced else repeat(None)
        columns = self.user_ids, self.request_ids, self.costs_microcents, self.services, priced
        for user_id, request_id, cost, service, usage in zip(*columns):  # noqa: B905 -- the last may go on for ever
            yield made(RecordCost, (user_id, request_id, cost, service, (), False, None, False, usage))


class Numbers(NamedTuple):
    """What is new in the entries of costs, and of their accounts after each of them. All columns are equally long."""

    versions: Sequence[int]
    charges_microcents: Sequence[int]
    funded_microcents: Sequence[int]
    spent_microcents: Sequence[int]
    record_times_us: Sequence[int]
    residues_picocents: Sequence[int]


class RecordedColumns(Sequence[Outcome]):
    """What became of `costs`: a new entry for each, with nothing more to say of it or of its account."""

    __slots__ = ("balances_microcents", "costs", "fingerprint", "numbers")

    def __init__(self, costs: CostColumns, fingerprint: int, numbers: Numbers) -> None:
        self.costs = costs
        self.fingerprint = fingerprint
        self.numbers = numbers
        self.balances_microcents = [*map(sub, numbers.funded_microcents, numbers.spent_microcents)]

    def __len__(self) -> int:
        return len(self.costs)

    @overload
    def __getitem__(self, place: int) -> Applied: ...

    @overload
    def __getitem__(self, place: slice) -> RecordedColumns: ...

    def __getitem__(self, place: int | slice) -> Applied | RecordedColumns:
        if isinstance(place, slice):
            numbers = Numbers(*(column[place] for column in self.numbers))
            return RecordedColumns(self.costs[place], self.fingerprint, numbers)
        version, charge, funded, spent, record_time_us, residue = (column[place] for column in self.numbers)
        user_id, request_id, _, service, labels, _, occur_time_us, _, priced = self.costs[place]
        entry = Entry(
            user_id,
            version,
            EntryKind.COST,
            -charge,
            self.balances_microcents[place],
            request_id,
            self.fingerprint,
            service,
            labels,
            occur_time_us,
            record_time_us,
            residue,
            priced and priced.usage,
            priced and priced.rate_card,
        )
        return Applied(entry, Account(user_id, version, funded, spent, record_time_us, residue), replayed=False)


def together(parts: Sequence[Sequence[Command]]) -> Sequence[Command]:
    """The commands of all parts, in order: in columns, if every part is and they have the same ones."""
    if len(parts) == 1:
        return parts[0]
    columns = [part for part in parts if isinstance(part, CostColumns)]
    priced = [part.priced for part in columns if part.priced]
    if len(columns) < len(parts) or len(priced) not in (0, len(parts)):
        return [*chain.from_iterable(parts)]
    return CostColumns(
        _joined(part.user_ids for part in columns),
        _joined(part.request_ids for part in columns),
        _joined(part.costs_microcents for part in columns),
        _joined(part.services for part in columns),
        PricedColumns(_joined(part.picocents for part in priced), _joined(part.usage_texts for part in priced))
        if priced
        else None,
    )


def _joined(columns: Iterable[Iterable[_T]]) -> list[_T]:
    return [*chain.from_iterable(columns)]


def _priced(picocents: int, text: str) -> PricedUsage:
    usage, rate_card = read_usage(text)
    return PricedUsage(usage, picocents, rate_card)
