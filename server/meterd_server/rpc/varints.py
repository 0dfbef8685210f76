"""Numbers as protobuf writes them, as text of which each character is a byte: Python puts text together faster than bytes.

Two tables of 14 bits each: one look-up for what most numbers are, two or three for an amount of money.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_BITS = 14
_TABLE = 1 << _BITS
_REST_OF_SMALL_NEGATIVES = "\xff" * 5 + "\x01"
"""The last 36 bits of a negative int64, all set unless it is below -2**28."""

VARINTS = [chr(number) if number < 128 else chr(number & 127 | 128) + chr(number >> 7) for number in range(_TABLE)]
"""The text of each number below 16,384."""

_GOES_ON = [chr(number & 127 | 128) + chr(number >> 7 | 128) for number in range(_TABLE)]


def varint(number: int) -> str:
    """The text of an int64."""
    if number < 0:
        if number >= -(1 << 2 * _BITS):
            return _GOES_ON[number & _TABLE - 1] + _GOES_ON[number >> _BITS & _TABLE - 1] + _REST_OF_SMALL_NEGATIVES
        number += 1 << 64
    if number < _TABLE:
        return VARINTS[number]
    text = _GOES_ON[number & _TABLE - 1]
    number >>= _BITS
    while number >= _TABLE:
        text += _GOES_ON[number & _TABLE - 1]
        number >>= _BITS
    return text + VARINTS[number]


def varints(numbers: Iterable[int]) -> list[str]:
    """The texts of int64s. For what most numbers are `varint` is not called: its call would take longer than they do."""
    return [
        VARINTS[number]
        if 0 <= number < _TABLE
        else _GOES_ON[number & _TABLE - 1] + VARINTS[number >> _BITS]
        if 0 <= number < _TABLE**2
        else _GOES_ON[number & _TABLE - 1] + _GOES_ON[number >> _BITS & _TABLE - 1] + _REST_OF_SMALL_NEGATIVES
        if 0 > number >= -(_TABLE**2)
        else varint(number)
        for number in numbers
    ]


class _Numbers(dict[str, int]):
    """Each text's number, up to 63 bits of it; the small ones are looked up, and larger ones 14 bits at a time."""

    def __missing__(self, text: str) -> int:
        if len(text) > 2:
            return self[text[2:]] << _BITS | _BITS_OF[text[:2]]
        return ord(text[0]) & 127 | ord(text[-1]) << 7  # written longer than need be: nobody does


_BITS_OF = {text: number for number, text in enumerate(_GOES_ON)}

number_of: Callable[[str], int] = _Numbers({text: number for number, text in enumerate(VARINTS)}).__getitem__
"""The number whose text this is, up to 63 bits of it."""
