"""Amounts of money on the command line: read and written exactly, in integers, never in floats."""

import re

MICROCENTS_PER_DOLLAR = 100_000_000
PICOCENTS_PER_MICROCENT = 1_000_000
DECIMALS_MAX = 8

_INT64_MAX = 2**63 - 1
_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_MICROCENTS = re.compile(rf"(?P<sign>-?)(?P<whole>{_DIGITS})", re.ASCII)
_DOLLARS = re.compile(
    rf"(?P<sign>-?)(?:\$(?P<whole>{_DIGITS})(?:\.(?P<decimals>[0-9]+))?"
    rf"|(?P<whole_usd>{_DIGITS})(?:\.(?P<decimals_usd>[0-9]+))? ?usd)",
    re.ASCII | re.IGNORECASE,
)
_BARE_DECIMAL = re.compile(r"-?[0-9_]*\.[0-9]+")


class AmountError(ValueError):
    """A text is not an amount of money; says why and what to write instead."""


def parse_amount(text: str) -> int:
    """Return an amount in microcents.

    `5000` and `5_000` are microcents; `1.25usd`, `1.25 USD` and `$1.25` are dollars with up to 8 decimals. Raises
    AmountError for anything else, and for what does not fit an int64. Whether the amount makes sense is the daemon's
    to say.
    """
    text = text.strip()
    if match := _MICROCENTS.fullmatch(text):
        microcents = _integer(match["whole"])
    elif match := _DOLLARS.fullmatch(text):
        decimals = match["decimals"] or match["decimals_usd"] or ""
        if len(decimals) > DECIMALS_MAX:
            raise AmountError(
                f"{text!r} has {len(decimals)} decimals; a microcent is the 8th, there is nothing below it"
            )
        dollars = _integer(match["whole"] or match["whole_usd"])
        microcents = dollars * MICROCENTS_PER_DOLLAR + int(decimals.ljust(DECIMALS_MAX, "0"))
    else:
        raise AmountError(f"{text!r} is not an amount; {_hint(text)}")
    if microcents > _INT64_MAX:
        raise AmountError(f"{text!r} is more than an int64 of microcents holds")
    return -microcents if match["sign"] else microcents


def format_dollars(microcents: int) -> str:
    """Return dollars with all 8 decimals, for `parse_amount` to read back: 50_000 -> `$0.00050000`."""
    dollars, rest = divmod(abs(microcents), MICROCENTS_PER_DOLLAR)
    return f"{'-' if microcents < 0 else ''}${dollars}.{rest:0{DECIMALS_MAX}d}"


def format_microcents(microcents: int) -> str:
    """Return microcents for people: 50_000 -> `50,000 µ¢`."""
    return f"{microcents:,} µ¢"


def format_picocents(picocents: int) -> str:
    """Return microcents with as many decimals as there are: 5_000 -> `0.005 µ¢`. For prices, and for what is owed below one."""
    whole, rest = divmod(picocents, PICOCENTS_PER_MICROCENT)
    return f"{whole:,}{f'.{rest:06d}'.rstrip('0') if rest else ''} µ¢"


def format_money(microcents: int) -> str:
    """Return both: 50_000 -> `$0.00050000 (50,000 µ¢)`."""
    return f"{format_dollars(microcents)} ({format_microcents(microcents)})"


def _integer(digits: str) -> int:
    # Python refuses to read thousands of digits; 30 are more than any int64 has, so the range check still sees them.
    digits = digits.replace("_", "").lstrip("0")
    return int(digits[:30] or "0")


def _hint(text: str) -> str:
    if _BARE_DECIMAL.fullmatch(text):
        return f"for dollars write {text}usd (a shell replaces $1 with nothing unless it is in single quotes)"
    return "write microcents (125000000) or dollars (1.25usd, or '$1.25' in single quotes)"
