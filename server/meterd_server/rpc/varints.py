"""Numbers as protobuf writes them, as text of which each character is a byte: Python puts text together faster than bytes.

Two tables of 14 bits each: one look-up for what most numbers are, two or three for an amount of money.
"""

from __future__ import annotations

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
    text = ""
    while number >= _TABLE:
        text += _GOES_ON[number & _TABLE - 1]
        number >>= _BITS
    return text + VARINTS[number]


def number_of(text: str) -> int:
    """The number whose text this is, up to 63 bits of it."""
    if len(text) == 2:
        return ord(text[0]) & 127 | ord(text[1]) << 7
    number = 0
    for character in reversed(text):
        number = number << 7 | ord(character) & 127
    return number
