"""Numbers as protobuf writes them, as text of which each character is a byte: Python puts text together faster than bytes.

Two tables of 14 bits each: one look-up for what most numbers are, two or three for an amount of money. The daemon writes and reads
with them, too.
"""

BITS = 14
TABLE = 1 << BITS
REST_OF_SMALL_NEGATIVES = "\xff" * 5 + "\x01"
"""The last 36 bits of a negative int64, all set unless it is below -2**28."""

VARINTS = [chr(number) if number < 128 else chr(number & 127 | 128) + chr(number >> 7) for number in range(TABLE)]
"""The text of each number below 16,384."""

GOES_ON = [chr(number & 127 | 128) + chr(number >> 7 | 128) for number in range(TABLE)]
"""The text of each 14 bits that others follow."""


def varint(number: int) -> str:
    """Return the text of an int64."""
    if number < 0:
        if number >= -(1 << 2 * BITS):
            return GOES_ON[number & TABLE - 1] + GOES_ON[number >> BITS & TABLE - 1] + REST_OF_SMALL_NEGATIVES
        number += 1 << 64
    if number < TABLE:
        return VARINTS[number]
    text = GOES_ON[number & TABLE - 1]
    number >>= BITS
    while number >= TABLE:
        text += GOES_ON[number & TABLE - 1]
        number >>= BITS
    return text + VARINTS[number]
