"""An account: one user's money after its last entry."""

from __future__ import annotations

from typing import NamedTuple

OPERATION_MICROCENTS_MAX = 10**15
"""The most that one operation may move: $10,000,000."""

ACCOUNT_MICROCENTS_MAX = 9 * 10**18
"""The most that a balance or a total may reach in either direction; just below what an int64 holds."""

SET_ASIDE_MICROCENTS_MAX = 2 * 10**17
"""The most that may be held, and the highest credit limit: available, which is made of all three, still fits an int64."""

GRANTS_MAX = 100
"""The most grants that one user may have at a time: each is looked at for every cost."""


class Policy(NamedTuple):
    """What an account is allowed, whatever is in it."""

    credit_limit_microcents: int = 0
    """How far below zero the user may go where funds are enforced."""
    unlimited: bool = False
    """Funds are not enforced."""
    frozen: bool = False
    """Nothing new is allowed; what was spent already is still recorded."""


class Grant(NamedTuple):
    """Money that expires: what came in with one funding, and what is left of it."""

    version: int
    """The funding's entry."""
    amount_microcents: int
    """Without what was taken back of it by reversals."""
    left_microcents: int
    priority: int
    """The lowest is drawn from first."""
    expire_time_us: int
    label: str

    @property
    def drawn_in_order(self) -> tuple[int, int, int]:
        """By what grants are sorted: priority, then expiry, then age."""
        return (self.priority, self.expire_time_us, self.version)


class AccountMore(NamedTuple):
    """What most accounts do not have."""

    held_microcents: int = 0
    """The sum of open reservations."""
    lapsed_microcents: int = 0
    """The sum of what expired unspent."""
    policy: Policy = Policy()
    grants: tuple[Grant, ...] = ()
    """In the order in which they are drawn from."""


NOTHING_MORE = AccountMore()


class Account(NamedTuple):
    """One user's money after the entry `version`; version 0 is a user without any entry."""

    user_id: str
    version: int = 0
    funded_microcents: int = 0
    spent_microcents: int = 0
    record_time_us: int = 0
    residue_picocents: int = 0
    """What was used but not charged, because it is less than a microcent."""
    more: AccountMore | None = None
    """None, never `NOTHING_MORE`, for an account that has nothing of it."""

    @property
    def balance_microcents(self) -> int:
        """Funded minus spent minus lapsed; negative after an overdraft."""
        balance = self.funded_microcents - self.spent_microcents
        return balance if self.more is None else balance - self.more.lapsed_microcents

    @property
    def available_microcents(self) -> int:
        """What Check compares with the minimum: the balance without what is held, and with what may be owed."""
        available = self.funded_microcents - self.spent_microcents
        more = self.more
        if more is not None:
            available += more.policy.credit_limit_microcents - more.lapsed_microcents - more.held_microcents
        return available

    @property
    def grants(self) -> tuple[Grant, ...]:
        """Its money that expires, in the order in which it is drawn from."""
        return () if self.more is None else self.more.grants

    @property
    def policy(self) -> Policy:
        """What the account is allowed."""
        return NOTHING_MORE.policy if self.more is None else self.more.policy
