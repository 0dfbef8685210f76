"""Many numbers at once as protobuf writes them, as text of which each character is a byte, and the numbers of such texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd._varints import BITS, GOES_ON, REST_OF_SMALL_NEGATIVES, TABLE, VARINTS, varint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def varints(numbers: Iterable[int]) -> list[str]:
    """The texts of int64s. For what most numbers are `varint` is not called: its call would take longer than they do."""
    return [
        VARINTS[number]
        if 0 <= number < TABLE
        else GOES_ON[number & TABLE - 1] + VARINTS[number >> BITS]
        if 0 <= number < TABLE**2
        else GOES_ON[number & TABLE - 1] + GOES_ON[number >> BITS & TABLE - 1] + REST_OF_SMALL_NEGATIVES
        if 0 > number >= -(TABLE**2)
        else varint(number)
        for number in numbers
    ]


class _Numbers(dict[str, int]):
    """Each text's number, up to 63 bits of it; the small ones are looked up, and larger ones 14 bits at a time."""

    def __missing__(self, text: str) -> int:
        if len(text) > 2:
            return self[text[2:]] << BITS | _BITS_OF[text[:2]]
        return ord(text[0]) & 127 | ord(text[-1]) << 7  # written longer than need be: nobody does


_BITS_OF = {text: number for number, text in enumerate(GOES_ON)}

number_of: Callable[[str], int] = _Numbers({text: number for number, text in enumerate(VARINTS)}).__getitem__
"""The number whose text this is, up to 63 bits of it."""
