"""Prices as people write them: `2.00 USD per 1_000_000`, `150 cents per 1000`, `400 microcents`, `free`."""

import re

PICOCENTS_PER_UNIT = {
    "USD": 10**14,
    "cent": 10**12,
    "cents": 10**12,
    "microcent": 10**6,
    "microcents": 10**6,
    "picocent": 1,
    "picocents": 1,
}
"""What a price may be written in."""

_COUNTS = (1, 1_000, 1_000_000, 1_000_000_000)
_LENGTH_MAX = 100
_DIGITS = "[0-9]+(?:_[0-9]+)*"
_PRICE = re.compile(
    rf"(?P<sign>-?)(?P<whole>{_DIGITS})(?:\.(?P<decimals>[0-9]+))? +(?P<unit>[A-Za-z]+)(?: +per +(?P<count>{_DIGITS}))?"
)


class PriceError(ValueError):
    """A text is not a price; says why."""


def parse_price(text: str) -> int:
    """Return a price in picocents per unit, exactly. Raises `PriceError` for a text that is not one, or not a whole number."""
    if text == "free":
        return 0
    match = _PRICE.fullmatch(text.strip()) if len(text) <= _LENGTH_MAX else None
    if match is None:
        raise PriceError(
            f"{text!r} is not a price; write '2.00 USD per 1_000_000', '150 cents per 1000', '400 microcents' or 'free'"
        )
    if match["unit"] not in PICOCENTS_PER_UNIT:
        raise PriceError(f"{text!r} is in {match['unit']!r}; write USD, cents, microcents or picocents")
    if match["sign"]:
        raise PriceError(f"{text!r} is negative")
    count = int((match["count"] or "1").replace("_", ""))
    if count == 0:
        raise PriceError(f"{text!r} is per 0 units")
    decimals = match["decimals"] or ""
    numerator = int(match["whole"].replace("_", "") + decimals) * PICOCENTS_PER_UNIT[match["unit"]]
    denominator: int = count * 10 ** len(decimals)
    picocents, rest = divmod(numerator, denominator)
    if rest:
        raise PriceError(
            f"{text!r} is not a whole number of picocents a unit (10^-12 cent, the least there is), "
            f"but between {picocents} and {picocents + 1}"
        )
    return picocents


def format_price(picocents: int, meter: str = "") -> str:
    """Return the price of a meter's unit as a person would write it, for `parse_price` to read back exactly."""
    if picocents == 0:
        return "free"
    # Tokens and characters are priced per million everywhere; others per as few as make a cent.
    for count in _COUNTS[2:] if meter.endswith(("tokens", "characters")) else _COUNTS:
        dollars, rest = divmod(picocents * count, PICOCENTS_PER_UNIT["USD"])
        if dollars or rest >= PICOCENTS_PER_UNIT["cent"]:
            decimals = f"{rest:014d}".rstrip("0").ljust(2, "0")
            return f"{dollars}.{decimals} USD" + (f" per {count:_}" if count > 1 else "")
    return f"{picocents} picocents"
