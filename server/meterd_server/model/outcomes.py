"""What became of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meterd_server.errors import Reason
    from meterd_server.model.accounts import Account
    from meterd_server.model.entries import Entry


class Checked(NamedTuple):
    """The account as a Check or a Lapse found or left it, and how much is missing; 0 when the minimum is available."""

    account: Account
    shortfall_microcents: int

    @property
    def allowed(self) -> bool:
        """Whether the user may go on: can afford it, and is not frozen."""
        return self.shortfall_microcents == 0 and not (self.account.more and self.account.more.policy.frozen)


class Applied(NamedTuple):
    """The command's entry is in the ledger; `replayed` when it was there before."""

    entry: Entry
    account: Account
    replayed: bool


class Rejection(NamedTuple):
    """The command changed nothing, and why. `details` become the error's metadata."""

    reason: Reason
    message: str
    details: Mapping[str, object] = {}


Outcome = Applied | Checked | Rejection
