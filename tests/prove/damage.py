"""Bytes that a hostile caller might send in the place of a message: by what the contract says, and against it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from google.protobuf.descriptor import FieldDescriptor as Field

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import Descriptor

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_DEPTH_MAX = 4
_NUMBERS = (0, 1, 2, 127, 128, 10**6, 10**15, 10**15 + 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1)
_TEXTS = (
    b"ada",
    b"",
    b"x" * 200,
    b"\0",
    b"\xff\xfe",
    b"a b",
    "\N{GRINNING FACE}".encode(),
    b"\xed\xa0\x80",
    b"../../etc",
    b"r1",
    b"version",
)
_TEXT_TYPES = (Field.TYPE_STRING, Field.TYPE_BYTES)


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    encoded = b""
    while value >= 128:
        encoded += bytes([value % 128 + 128])
        value //= 128
    return encoded + bytes([value])


def _field(number: int, wire_type: int, content: bytes) -> bytes:
    return varint(number << 3 | wire_type) + content


def _delimited(number: int, content: bytes) -> bytes:
    return _field(number, BYTES, varint(len(content)) + content)


def by_contract(dice: random.Random, descriptor: Descriptor, depth: int = 0) -> bytes:
    """A message that parses, most of the time: any of its fields, in any order, with values at the ends of their ranges."""
    raw = b""
    fields = [field for field in descriptor.fields if dice.random() < 0.7]
    dice.shuffle(fields)
    for field in fields:
        for _ in range(dice.choice((1, 1, 1, 2, 5)) if field.is_repeated else 1):
            if field.message_type:
                if depth < _DEPTH_MAX:
                    raw += _delimited(field.number, by_contract(dice, field.message_type, depth + 1))
            elif field.type in _TEXT_TYPES:
                raw += _delimited(field.number, dice.choice(_TEXTS))
            else:
                raw += _field(field.number, VARINT, varint(dice.choice(_NUMBERS)))
    return raw


def noise(dice: random.Random, _descriptor: Descriptor) -> bytes:
    """Anything."""
    return dice.randbytes(dice.randrange(200))


def flipped(dice: random.Random, descriptor: Descriptor) -> bytes:
    """A message with some of its bytes changed, taken out or put in."""
    raw = bytearray(by_contract(dice, descriptor))
    for _ in range(dice.randrange(1, 6)):
        place = dice.randrange(len(raw) + 1)
        raw[place : place + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
    return bytes(raw)


def wrong_types(dice: random.Random, descriptor: Descriptor) -> bytes:
    """Fields of the message as what they are not, groups and fields that nobody knows among them."""
    raw = b""
    for field in descriptor.fields:
        wire_type = dice.randrange(8)
        content = {VARINT: varint(dice.choice(_NUMBERS)), FIXED64: dice.randbytes(8), FIXED32: dice.randbytes(4)}
        raw += _field(
            dice.choice((field.number, field.number + 1_000, 2**29 - 1)),
            wire_type,
            content.get(wire_type, varint(7) + dice.randbytes(7)),
        )
    return raw


def truncated(dice: random.Random, descriptor: Descriptor) -> bytes:
    """A message that ends too early."""
    raw = by_contract(dice, descriptor)
    return raw[: dice.randrange(len(raw) + 1)]


def huge_length(dice: random.Random, descriptor: Descriptor) -> bytes:
    """A field that says it is longer than everything."""
    field = dice.choice(descriptor.fields) if descriptor.fields else None
    size = dice.choice((2**31 - 1, 2**31, 2**32, 2**63, 2**64 - 1, 2**70))
    return by_contract(dice, descriptor) + _field(field.number if field else 1, BYTES, varint(size) + b"ada")


def nested(dice: random.Random, descriptor: Descriptor) -> bytes:
    """Messages or groups inside each other, deeper than any parser should follow."""
    numbers = [field.number for field in descriptor.fields] or [1]
    if dice.random() < 0.3:
        return bytes([dice.choice(numbers) << 3 | 3]) * dice.choice((99, 101, 4_000))
    raw = dice.choice((b"", b"\xff"))
    for _ in range(dice.choice((50, 101, 1_500))):
        raw = _delimited(dice.choice(numbers), raw)
    return raw


def repeated(dice: random.Random, descriptor: Descriptor) -> bytes:
    """The same message many times over, as one: the last of a field counts, and lists get long."""
    return by_contract(dice, descriptor, _DEPTH_MAX - 1) * dice.choice((2, 50))


KINDS: dict[str, Callable[[random.Random, Descriptor], bytes]] = {
    "values at the ends of their ranges": by_contract,
    "noise": noise,
    "bytes flipped": flipped,
    "wrong wire types": wrong_types,
    "cut short": truncated,
    "huge lengths": huge_length,
    "nested deeply": nested,
    "repeated": repeated,
}
