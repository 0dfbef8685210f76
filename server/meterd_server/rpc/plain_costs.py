"""Costs as nearly all of them come, read from their bytes without a message in between.

To read a field of a protobuf message, and to make the objects for what is in it, takes longer than deciding the cost. One regular
expression finds hundreds of costs of the most common form, and takes them apart: short fields of printable ASCII, each once and in
order, nothing unusual among them. What it finds stays in columns. The lengths that stand in a cost are held against what they
measure once for all costs in which they are the same: there are few ways for a cost to be long. Where there is anything else, or
what is not as its lengths say, it is left to another way; so this refuses nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, cast

from meterd._varints import VARINTS, varint
from meterd_server.model import OPERATION_MICROCENTS_MAX, CostColumns, PricedColumns, usage_pieces, usage_texts
from meterd_server.model.flat import made
from meterd_server.pricing import OPERATION_PICOCENTS_MAX
from meterd_server.rpc.varints import number_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from meterd_server.model import RecordCost
    from meterd_server.prices import Prices
    from meterd_server.pricing import RateCard

    Texts = tuple[str, ...]
    """The groups of a pattern in one operation, or what one group is in each."""

METERS_MAX = 6
"""How many meters the common form has at most."""

OPERATION_BYTES_MAX = 1_000
"""What is longer is not looked at: no cost in the common form is."""

_REMEMBERED_MAX = 4096  # names come from callers: what is remembered about them is bounded

USAGE_TAG = "J"
"""Of a usage in an entry, where it stands as it came."""

_RECORD_COST = b"\x12"

# A field is its tag, its length and itself. Where a tag or a length could be a character of the text before it, the length of that
# text decides. What stands between two texts or numbers that differ from cost to cost is one group.
_LENGTH = "[\x80-\xff]?[\x01-\x7f]"
_BEGIN = f"(\n{_LENGTH}\x12{_LENGTH}\n.)([ -~]{{1,64}}+)(\x12.)([!-~]{{1,64}})"
_NUMBER = "([\x80-\xff]{0,8}+[\x00-\x7f])"
_METER_TAG = "\x1a"
_METER = f"{_METER_TAG}.\n.[a-z][^\x10]{{0,63}}+\x10"
# Nothing as the other alternative is found faster than something that is optional.
_NAMES = f"{_LENGTH}\n.[ -~]{{1,64}}+(?:\x12.[ -~]{{1,64}}+|){_METER}"
_costs = re.compile(f"{_BEGIN}\x18{_NUMBER}([*].[ -~]{{1,64}}+|)", re.DOTALL)
_usages = {
    meters: re.compile(f'{_BEGIN}"(({_NAMES}){_NUMBER}' + f"({_METER}){_NUMBER}" * (meters - 1) + ")", re.DOTALL)
    for meters in range(1, METERS_MAX + 1)
}
"""By the number of meters. The fifth group is the whole usage, with those of its names and numbers in it."""
_names_parts = re.compile(f"({_LENGTH})\n(.)([ -~]+)(?:\x12(.)([ -~]+))?({_METER})", re.DOTALL).fullmatch

_COST_GROUPS = 6
_USAGE_GROUPS = 5
"""The groups that are in no other. In every pattern, one character beside them is in none."""


class PlainCost(NamedTuple):
    """A cost in the common form, and what the message of its entry will say of usage: ready, or "" where it is nothing."""

    command: RecordCost
    usage: str
    rate_card: str


class PlainCosts(NamedTuple):
    """Many of it, in columns."""

    commands: CostColumns
    usages: Sequence[str]
    """The usages as they came, without the tag that they have in an entry; empty, as `rate_cards` are, where there is no usage."""
    rate_cards: Sequence[str]

    def each(self) -> list[PlainCost]:
        """They, one by one."""
        if not self.usages:
            return [made(PlainCost, (command, "", "")) for command in self.commands]
        parts = zip(self.commands, [USAGE_TAG + usage for usage in self.usages], self.rate_cards, strict=True)
        return [made(PlainCost, each) for each in parts]


class _Form(NamedTuple):
    """All of a usage but its numbers."""

    service: str
    model: str
    meters: tuple[str, ...]
    """In the order in which they come, as all that is said of them by place."""


class _Rates(NamedTuple):
    """What usage of one form costs, and how it is kept and told."""

    card: RateCard
    prices: tuple[int, ...]
    kept_places: tuple[int, ...]
    """The places of the meters in the order in which they are kept."""
    pieces: Sequence[str]
    """See `usage_pieces`."""
    card_text: str


class _Priced(NamedTuple):
    """What usages of one form come to."""

    services: Sequence[str]
    picocents: Sequence[int]
    usage_texts: Sequence[str]
    card_texts: Sequence[str]


class CostReader:
    """Reads costs of one message, all as of one moment."""

    def __init__(self, prices: Prices) -> None:
        self._book = prices.book
        self._at_us = prices.clock_us()
        self._rates: dict[_Form, _Rates | None] = {}

    def read_all(self, text: str, count: int) -> PlainCosts | None:
        """So many operations, as they stand in a message, if each is a cost in the common form.

        Either none of them has usage, or all have as many meters.
        """
        pattern = next((each for each in _patterns_for(text) if each.match(text)), None)
        found = pattern.findall(text) if pattern else ()
        if pattern is None or len(found) != count:
            return None
        columns = [*zip(*found, strict=True)]
        groups = columns[: _COST_GROUPS if pattern is _costs else _USAGE_GROUPS]
        # What is between two that were found is not among them.
        is_all = sum(map(len, chain.from_iterable(groups))) + count == len(text)
        return self._read(pattern, columns) if is_all else None

    def read_each(self, operations: Sequence[bytes]) -> list[PlainCost | None]:
        """Each of these operations, in its place, that is a cost in the common form."""
        costs: list[PlainCost | None] = [None] * len(operations)
        alike: dict[re.Pattern[str], dict[int, Texts]] = {}
        for place, operation in enumerate(operations):
            if operation[:1] == _RECORD_COST and len(operation) <= OPERATION_BYTES_MAX:
                text = f"\n{VARINTS[len(operation)]}{str(operation, 'latin-1')}"
                for pattern in _patterns_for(text):
                    if match := pattern.fullmatch(text):
                        alike.setdefault(pattern, {})[place] = match.groups()
                        break
        for pattern, found in alike.items():
            if not self._read_into(costs, pattern, found):
                # One of them only looks like a cost: then each is read alone.
                for place, groups in found.items():
                    self._read_into(costs, pattern, {place: groups})
        return costs

    def _read_into(
        self, costs: list[PlainCost | None], pattern: re.Pattern[str], found: Mapping[int, Texts]
    ) -> PlainCosts | None:
        read = self._read(pattern, [*zip(*found.values(), strict=True)])
        for place, cost in zip(found, read.each() if read else (), strict=read is not None):
            costs[place] = cost
        return read

    def _read(self, pattern: re.Pattern[str], columns: list[Texts]) -> PlainCosts | None:
        return _read_costs(columns) if pattern is _costs else self._read_usages(columns)

    def _read_usages(self, columns: list[Texts]) -> PlainCosts | None:
        heads, user_ids, request_heads, request_ids, usages, *pairs = columns
        names, numbers = pairs[::2], pairs[1::2]
        lengths = [map(len, each) for each in numbers]
        ways = [*zip(heads, map(len, user_ids), request_heads, map(len, request_ids), *names, *lengths, strict=True)]
        forms = {way: _form_of(*way) for way in {*ways}}
        kinds = {*forms.values()}
        is_one_kind = len(kinds) == 1
        priced = self._price(kinds.pop(), numbers) if is_one_kind else self._price_each(map(forms.get, ways), numbers)
        if priced is None:
            return None
        services, picocents, usage_texts, card_texts = priced
        commands = CostColumns(
            user_ids, request_ids, (0,) * len(user_ids), services, PricedColumns(picocents, usage_texts)
        )
        return PlainCosts(commands, usages, card_texts)

    def _price_each(self, forms: Iterable[_Form | None], numbers: list[Texts]) -> _Priced | None:
        places: dict[_Form | None, list[int]] = {}
        for place, form in enumerate(forms):
            places.setdefault(form, []).append(place)
        rows: dict[int, tuple[str, int, str, str]] = {}
        for form, where in places.items():
            priced = self._price(form, [[column[place] for place in where] for column in numbers])
            if priced is None:
                return None
            rows.update(zip(where, zip(*priced, strict=True), strict=True))
        return _Priced(*zip(*(rows[place] for place in sorted(rows)), strict=True))

    def _price(self, form: _Form | None, numbers: Sequence[Sequence[str]]) -> _Priced | None:
        """What usages of one form come to; None if it is no form, or they have no price, or too high a one."""
        if form is None:
            return None
        try:
            rates = self._rates[form]
        except KeyError:
            rates = self._rates[form] = self._rates_of(form)
        if rates is None:
            return None
        card, prices, kept_places, pieces, card_text = rates
        units = [[*map(number_of, column)] for column in numbers]
        count = len(units[0])
        picocents = [card.per_call_picocents] * count
        for price, column in zip(prices, units, strict=True):
            picocents = [sum_so_far + price * number for sum_so_far, number in zip(picocents, column, strict=True)]
        if card.minimum_picocents:
            picocents = [max(each, card.minimum_picocents) for each in picocents]
        if max(picocents) > OPERATION_PICOCENTS_MAX:
            return None
        texts = usage_texts(pieces, [units[place] for place in kept_places])
        return _Priced([form.service] * count, picocents, texts, [card_text] * count)

    def _rates_of(self, form: _Form) -> _Rates | None:
        """What usage of this form costs; None if that takes more than multiplying and adding up."""
        service, model, meters = form
        card = self._book.card(service, model, self._at_us)
        if card is None or card.tiers or not card.prices.keys() >= {*meters}:
            return None
        key = card.key
        card_text = f"\n{_sized(key.service)}" + (f"\x12{_sized(key.model)}" if key.model else "")
        card_text += f"\x18{varint(key.version)}"
        kept_places = sorted(range(len(meters)), key=meters.__getitem__)
        return _Rates(
            card,
            tuple(card.prices[meter] for meter in meters),
            tuple(kept_places),
            usage_pieces(service, model, [meters[place] for place in kept_places], key),
            f"b{_sized(card_text)}",
        )


def _patterns_for(text: str) -> Iterator[re.Pattern[str]]:
    """What the first operation of a text may be, most common first."""
    yield _costs
    # There are no more meters than tags of meters: a length or a number may look like a tag.
    for meters in range(min(text.count(_METER_TAG, 0, OPERATION_BYTES_MAX), METERS_MAX), 0, -1):
        yield _usages[meters]


def _read_costs(columns: list[Texts]) -> PlainCosts | None:
    heads, user_ids, request_heads, request_ids, cost_texts, service_fields = columns
    count = len(heads)
    ways = {
        *zip(
            heads,
            map(len, user_ids),
            request_heads,
            map(len, request_ids),
            map(len, cost_texts),
            service_fields,
            strict=True,
        )
    }
    names = {_service_of(*way) for way in ways}
    costs = [*map(number_of, cost_texts)]
    if None in names or min(costs) <= 0 or max(costs) > OPERATION_MICROCENTS_MAX:
        return None
    services = [name or "" for name in names] * count if len(names) == 1 else [field[2:] for field in service_fields]
    return PlainCosts(CostColumns(user_ids, request_ids, costs, services), (), ())


@lru_cache(_REMEMBERED_MAX)
def _service_of(  # noqa: PLR0917 -- what columns have in one place
    head: str, user_length: int, request_head: str, request_length: int, cost_length: int, service_field: str
) -> str | None:
    """The service of a cost of this form; None if the lengths in it say something else."""
    service = service_field[2:]
    rest_length = 1 + cost_length + len(service_field)
    if service_field and ord(service_field[1]) != len(service):
        return None
    return service if _is_begun(head, user_length, request_head, request_length, rest_length) else None


@lru_cache(_REMEMBERED_MAX)
def _form_of(
    head: str, user_length: int, request_head: str, request_length: int, *names_and_lengths: str | int
) -> _Form | None:
    """The form of a usage with these names, and lengths of numbers; None if the lengths in it say something else."""
    meters_count = len(names_and_lengths) // 2
    names = cast("Texts", names_and_lengths[:meters_count])
    number_lengths = cast("tuple[int, ...]", names_and_lengths[meters_count:])
    parts = _names_parts(names[0])
    if parts is None:
        return None
    usage_length, service_length, service, model_length, model, first_entry = parts.groups("")
    entries = (first_entry, *names[1:])
    # Each is its tag and length, tag, length and name of the meter, and the tag of the units.
    meters = tuple(entry[4:-1] for entry in entries)
    length = sum(map(len, names)) - len(usage_length) + sum(number_lengths)
    if (
        usage_length != VARINTS[length]
        or ord(service_length) != len(service)
        or (model and ord(model_length) != len(model))
        or len({*meters}) != len(meters)
        or any(ord(entry[3]) != len(meter) for meter, entry in zip(meters, entries, strict=True))
        or any(ord(entry[1]) != len(entry) - 2 + each for each, entry in zip(number_lengths, entries, strict=True))
        or not _is_begun(head, user_length, request_head, request_length, 1 + len(usage_length) + length)
    ):
        return None
    return _Form(service, model, meters)


def _is_begun(head: str, user_length: int, request_head: str, request_length: int, rest_length: int) -> bool:
    """Whether the lengths in the heads are those of what comes after them."""
    length = 4 + user_length + request_length + rest_length
    inner = VARINTS[length]
    outer = VARINTS[1 + len(inner) + length]
    return head == f"\n{outer}\x12{inner}\n{chr(user_length)}" and request_head == f"\x12{chr(request_length)}"


def _sized(text: str) -> str:
    return f"{VARINTS[len(text)]}{text}"
