"""Random commands of every kind that callers may send. Most of them are carried out, and all of them may be repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd_server.model import (
    Capture,
    Extend,
    GrantTerms,
    Lapse,
    PricedUsage,
    RateCardKey,
    RecordCost,
    RecordFunding,
    Release,
    Reserve,
    Reverse,
    SetPolicy,
    Usage,
)

if TYPE_CHECKING:
    import random

    from meterd_server.model import Command

USERS = tuple(f"user-{number}" for number in range(6))
STEP_US = 1_000_000
"""How far the clock goes from one batch to the next; what is set aside or granted lasts for a few of these."""


class Commands:
    """Batches of commands, the same for the same dice."""

    def __init__(self, dice: random.Random, name: str) -> None:
        self._dice = dice
        self._name = name
        self._made = 0
        self._reservations: list[tuple[str, str]] = []
        self._past: list[Command] = []

    def batch(self, commands_max: int = 12) -> list[Command]:
        """Commands for one commit, small ones more often; now and then one that was in a batch before."""
        batch = [self.one() for _ in range(self._dice.randint(1, self._dice.randint(1, commands_max)))]
        if self._past and not self._dice.randrange(4):
            batch.append(self._dice.choice(self._past))
        self._past.extend(batch)
        return batch

    def one(self) -> Command:
        """A command that was not made before."""
        dice = self._dice
        user_id = USERS[min(dice.randrange(len(USERS)), dice.randrange(len(USERS)))]
        self._made += 1
        kinds = (self._funding, self._cost, self._reserve, self._about_reservation, self._about_account)
        make = dice.choices(kinds, weights=(4, 4, 3, 3, 2))[0]
        return make(user_id, f"{self._name}-{self._made}", dice.randrange(1, 100))

    def _ttl_us(self) -> int:
        return self._dice.randrange(1, 12) * STEP_US

    def _funding(self, user_id: str, request_id: str, amount: int) -> Command:
        if self._dice.random() < 0.7:
            return RecordFunding(user_id, request_id, 3 * amount)
        terms = GrantTerms(self._made * STEP_US // 4 + self._ttl_us(), self._dice.randrange(3), "trial")
        return RecordFunding(user_id, request_id, 2 * amount, grant=terms)

    def _cost(self, user_id: str, request_id: str, amount: int) -> Command:
        if self._dice.random() < 0.3:
            usage = Usage("prove", "m", (("tokens", amount),))
            priced = PricedUsage(usage, amount * 1_234_567, RateCardKey("prove", "m", 1))
            return RecordCost(user_id, request_id, 0, priced=priced)
        labels = (("model", "x" * self._dice.randrange(600)),)
        return RecordCost(user_id, request_id, amount, "prove", labels, reject_overdraft=self._dice.random() < 0.7)

    def _reserve(self, user_id: str, request_id: str, amount: int) -> Command:
        dice = self._dice
        self._reservations.append((user_id, request_id))
        floor, captures_floor, allow_partial = dice.randrange(amount), dice.random() < 0.5, dice.random() < 0.3
        return Reserve(user_id, request_id, amount, self._ttl_us(), captures_floor, floor, allow_partial=allow_partial)

    def _about_reservation(self, user_id: str, request_id: str, amount: int) -> Command:
        dice = self._dice
        # Of one that was asked for, whether or not it was made.
        user_id, of = dice.choice(self._reservations[-12:]) if self._reservations else (user_id, "none")
        what = dice.random()
        if what < 0.6:
            return Capture(user_id, request_id, of, amount, final=dice.random() < 0.6)
        if what < 0.8:
            return Release(user_id, request_id, of)
        return Extend(user_id, request_id, of, self._ttl_us(), dice.randrange(2) * amount)

    def _about_account(self, user_id: str, request_id: str, amount: int) -> Command:
        what = self._dice.random()
        if what < 0.3:
            return SetPolicy(user_id, request_id, amount, unlimited=not self._dice.randrange(6))
        if what < 0.6:
            part = None if self._dice.random() < 0.5 else amount
            return Reverse(user_id, request_id, self._dice.randrange(1, 30), part)
        return Lapse(user_id)
