"""Times on the command line: a date, a moment, or how long from now."""

import re
from datetime import UTC, datetime, timedelta

import typer

_FROM_NOW = re.compile("([0-9]{1,6})([dh])", re.ASCII)
_UNITS = {"d": "days", "h": "hours"}


def moment(text: str, name: str, *, now: datetime | None = None) -> datetime:
    """Return the time that `2027-01-31`, `2027-01-31T12:00+01:00`, `30d` or `12h` names, or fail as a usage error.

    A date begins at midnight UTC, and a time without a zone is UTC, too.
    """
    try:
        if match := _FROM_NOW.fullmatch(text):
            return (now or datetime.now(UTC)) + timedelta(**{_UNITS[match[2]]: int(match[1])})
        value = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        problem = f"{text!r} is not a time, such as 2027-01-31, 2027-01-31T12:00+01:00, 30d or 12h"
        raise typer.BadParameter(problem, param_hint=f"'{name}'") from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
