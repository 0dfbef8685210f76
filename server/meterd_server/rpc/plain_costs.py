"""Costs as nearly all of them come, read from their bytes without a message in between.

To read a field of a protobuf message, and to make the objects for what is in it, takes longer than deciding the cost. One regular
expression finds hundreds of costs of the most common form, and takes them apart: short fields of printable ASCII, each once and in
order, nothing unusual among them. Where it finds anything else in between, or what is not as its lengths say, all of them are left
to another way; so this refuses nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from operator import mul
from typing import TYPE_CHECKING, NamedTuple

from meterd_server.model import OPERATION_MICROCENTS_MAX, PricedUsage, RecordCost, Usage
from meterd_server.model.flat import made
from meterd_server.pricing import OPERATION_PICOCENTS_MAX
from meterd_server.rpc.varints import VARINTS, number_of, varint

if TYPE_CHECKING:
    from meterd_server.prices import Prices
    from meterd_server.pricing import RateCard

METERS_MAX = 6
"""How many meters the common form has at most."""

_FORMS_MAX = 4096  # names come from callers: what is remembered about them is bounded

OPERATION_BYTES_MAX = 1_000
"""What is longer is not looked at: no cost in the common form is."""

_RECORD_COST = b"\x12"

# A field is its tag, its length and itself. Where a tag or a length could be a character of the text before it, the length of that
# text decides.
_LENGTH = "([\x80-\xff]?[\x01-\x7f])"
_BEGIN = f"\n{_LENGTH}\x12{_LENGTH}\n([\x01-\x20])([ -~]{{1,32}})\x12([\x01-\x40])([!-~]{{1,64}})"
_NUMBER = "\x10([\x80-\xff]{0,8}[\x00-\x7f])"
_METER_TAG = "\x1a"
_METER = f"{_METER_TAG}[\x00-\x7f]\n.[a-z][^\x10]{{0,63}}"
_NAMES = f"\n[\x01-\x10][ -~]{{1,16}}(?:\x12[\x01-\x40][ -~]{{1,64}})?{_METER}"
_costs = re.compile(f"{_BEGIN}\x18([\x80-\xff]{{0,8}}[\x00-\x7f])(?:[*]([\x01-\x10])([ -~]{{1,16}}))?", re.DOTALL)
_usages = {
    meters: re.compile(
        f'{_BEGIN}"({_LENGTH}({_NAMES}){_NUMBER}' + f"({_METER}){_NUMBER}" * (meters - 1) + ")", re.DOTALL
    )
    for meters in range(1, METERS_MAX + 1)
}
"""By the number of meters."""
_names_parts = re.compile("\n(.)([ -~]+)(?:\x12(.)([ -~]+))?(\x1a..*)", re.DOTALL).fullmatch


class PlainCost(NamedTuple):
    """A cost in the common form, and what the message of its entry will say of usage: as fields that are ready, or not at all."""

    command: RecordCost
    usage: str
    rate_card: str


class _Form(NamedTuple):
    """All of a usage but its numbers."""

    service: str
    model: str
    meters: tuple[str, ...]
    """In the order in which they come."""
    number_lengths: tuple[int, ...]
    """How long the text of each number is."""
    length: int
    """Of the whole usage, with the length that stands before it."""
    length_text: str


class _Rates(NamedTuple):
    """What usage of one form costs."""

    form: _Form
    is_sorted: bool
    prices: tuple[int, ...]
    card: RateCard
    card_text: str


class PlainCosts:
    """Reads costs of one message, all as of one moment."""

    def __init__(self, prices: Prices) -> None:
        self._book = prices.book
        self._at_us = prices.clock_us()
        self._rates: dict[tuple[str, ...], _Rates | None] = {}

    def read(self, operation: bytes) -> PlainCost | None:
        """The operation's command, if it is a cost in the common form."""
        if operation[:1] != _RECORD_COST or len(operation) > OPERATION_BYTES_MAX:
            return None
        costs = self.read_all(f"\n{VARINTS[len(operation)]}{str(operation, 'latin-1')}", 1)
        return costs[0] if costs else None

    def read_all(self, text: str, count: int) -> list[PlainCost] | None:
        """The commands of so many operations, as they stand in a message, if each is a cost in the common form.

        Either none of them has usage, or all have as many meters.
        """
        if found := _find(_costs, text, count):
            return self._without_usage(found, len(text)) if len(found) == count else None
        # There are no more meters than tags of meters, and seldom fewer: a length or a number may look like a tag.
        for meters in range(min(text.count(_METER_TAG) // count, METERS_MAX), 0, -1):
            if found := _find(_usages[meters], text, count):
                return self._with_usage(found, len(text)) if len(found) == count else None
        return None

    def _without_usage(self, found: list[tuple[str, ...]], size: int) -> list[PlainCost] | None:
        costs = []
        read = 0
        for parts in found:
            outer, inner, user_length, user_id, request_length, request_id, cost_text, service_length, service = parts
            cost = number_of(cost_text)
            length = 5 + len(user_id) + len(request_id) + len(cost_text) + (2 + len(service) if service else 0)
            if (
                VARINTS[length] != inner
                or ord(user_length) != len(user_id)
                or ord(request_length) != len(request_id)
                or (service and ord(service_length) != len(service))
                or not 0 < cost <= OPERATION_MICROCENTS_MAX
            ):
                return None
            length += 1 + len(inner)
            if VARINTS[length] != outer:
                return None
            read += 1 + len(outer) + length
            command = made(RecordCost, (user_id, request_id, cost, service, (), False, None, False, None))
            costs.append(made(PlainCost, (command, "", "")))
        # What is between two that were found is not among them.
        return costs if read == size else None

    def _with_usage(self, found: list[tuple[str, ...]], size: int) -> list[PlainCost] | None:
        costs = []
        read = 0
        for parts in found:
            outer, inner, user_length, user_id, request_length, request_id, whole, usage_length = parts[:8]
            names = parts[8::2]
            numbers = parts[9::2]
            try:
                rates = self._rates[names]
            except KeyError:
                rates = self._rates[names] = self._rates_of(names)
            if rates is None:
                return None
            (service, model, meters, number_lengths, whole_length, length_text), is_sorted, prices, card, card_text = (
                rates
            )
            # As `number_of`, but without a call for what is below 16,384.
            units = [
                (
                    ord(each[0]) & 127 | ord(each[1]) << 7
                    if len(each) == 2
                    else ord(each)
                    if len(each) == 1
                    else number_of(each)
                )
                for each in numbers
            ]
            picocents = card.per_call_picocents + sum(map(mul, units, prices))
            if picocents < card.minimum_picocents:  # noqa: PLR1730 -- max() takes 0.1 µs
                picocents = card.minimum_picocents
            length = 5 + len(user_id) + len(request_id) + whole_length
            if (
                usage_length != length_text
                or len(whole) != whole_length
                or VARINTS[length] != inner
                or ord(user_length) != len(user_id)
                or ord(request_length) != len(request_id)
                or (*map(len, numbers),) != number_lengths
                or picocents > OPERATION_PICOCENTS_MAX
            ):
                return None
            length += 1 + len(inner)
            if VARINTS[length] != outer:
                return None
            read += 1 + len(outer) + length
            quantities = zip(meters, units)  # noqa: B905 -- they are as many, and to ask takes as long as to do it
            usage = made(Usage, (service, model, tuple(quantities if is_sorted else sorted(quantities))))
            priced = made(PricedUsage, (usage, picocents, card.key))
            command = made(RecordCost, (user_id, request_id, 0, service, (), False, None, False, priced))
            # The usage stands in the entry as it came.
            costs.append(made(PlainCost, (command, f"J{whole}", card_text)))
        # What is between two that were found is not among them.
        return costs if read == size else None

    def _rates_of(self, names: tuple[str, ...]) -> _Rates | None:
        form = _form_of(names)
        card = self._book.card(form.service, form.model, self._at_us) if form else None
        if form is None or card is None or card.tiers or not card.prices.keys() >= {*form.meters}:
            return None
        key = card.key
        card_text = f"\n{_sized(key.service)}" + (f"\x12{_sized(key.model)}" if key.model else "")
        card_text += f"\x18{varint(key.version)}"
        prices = tuple(card.prices[meter] for meter in form.meters)
        is_sorted = [*form.meters] == sorted(form.meters)
        return _Rates(form, is_sorted, prices, card, f"b{_sized(card_text)}")


@lru_cache(_FORMS_MAX)
def _form_of(names: tuple[str, ...]) -> _Form | None:
    """The form of a usage whose text is `names` with a number after each; None if its lengths say something else."""
    first = _names_parts(names[0])
    if first is None:
        return None
    service_length, service, model_length, model, first_meter = first.groups("")
    entries = [first_meter, *names[1:]]
    meters = tuple(entry[4:] for entry in entries)
    # The length of an entry counts all after itself: tag, length and name of the meter, and tag and number of the units.
    number_lengths = tuple(ord(entry[1]) - len(entry) + 1 for entry in entries)
    if (
        ord(service_length) != len(service)
        or (model and ord(model_length) != len(model))
        or len({*meters}) != len(meters)
        or not all(ord(entry[3]) == len(meter) for meter, entry in zip(meters, entries, strict=True))
    ):
        return None
    length = sum(map(len, names)) + len(entries) + sum(number_lengths)
    length_text = varint(length)
    return _Form(service, model, meters, number_lengths, len(length_text) + length, length_text)


def _find(pattern: re.Pattern[str], text: str, count: int) -> list[tuple[str, ...]]:
    """The groups of each operation that the pattern finds, where that is what the text begins with."""
    if count == 1:  # in half the time
        one = pattern.fullmatch(text)
        return [one.groups("")] if one else []
    return pattern.findall(text) if pattern.match(text) else []


def _sized(text: str) -> str:
    return f"{VARINTS[len(text)]}{text}"
