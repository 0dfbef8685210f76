"""What is said of a ledger that does not add up."""

from __future__ import annotations

from typing import NamedTuple

from meterd_server.errors import MeterdError


class Difference(NamedTuple):
    """Where a ledger does not say what follows from its entries."""

    user_id: str
    """Empty where it is no single user's."""
    version: int
    """The entry that does not fit, or the account's last one where the account does not."""
    what: str
    """What is not as it has to be, in the words of the contract."""
    expected: object
    stored: object

    def __str__(self) -> str:
        whose = f"user {self.user_id!r}, version {self.version}: " if self.user_id else ""
        return f"{whose}{self.what}: expected {_shown(self.expected)}, stored {_shown(self.stored)}"


class DifferenceError(MeterdError):
    """A check failed. The text is one line that names user, version, what was expected and what is stored."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(str(difference))
        self.difference = difference


def _shown(value: object) -> str:
    """One line, whatever a damaged database holds."""
    return value if isinstance(value, str) and value.isprintable() else repr(value)
