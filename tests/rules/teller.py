"""The rules with a memory and a clock, for what comes of one command after the other."""

from meterd_server.model import Applied, Expire
from meterd_server.rules import expiry_request_id
from prove.plain_store import PlainStore
from rules.commands import funding

NOW = 1_700_000_000_000_000
SECOND = 1_000_000


class Teller:
    """Carries out commands of alice's one at a time, at `now_us`; she begins with some money."""

    def __init__(self, money=0):
        self.store = PlainStore()
        self.now_us = NOW
        self.reservations = {}
        if money:
            self.does(funding("alice", money))

    def asks(self, command):
        """Return the outcome."""
        (outcome,) = self.store.decide([command], self.now_us)
        if isinstance(outcome, Applied) and outcome.entry.more and (found := outcome.entry.more.reservation):
            self.reservations[found.reservation_id] = found
        return outcome

    def does(self, command):
        """Return the new entry."""
        outcome = self.asks(command)
        assert isinstance(outcome, Applied), outcome
        assert not outcome.replayed
        return outcome.entry

    def refuses(self, command):
        """Return the reason why a command is refused; nothing is changed by it."""
        before = self.account
        reason = self.asks(command).reason
        assert before == self.account
        return reason

    def expires(self, reservation_id):
        """Have a reservation's time pass and return the entry of its expiry."""
        self.now_us = max(self.now_us, self.reservations[reservation_id].expire_time_us)
        return self.does(self.expire(reservation_id))

    def expire(self, reservation_id):
        """Return the command with which the daemon ends a reservation."""
        return Expire("alice", expiry_request_id(self.reservations[reservation_id].version), reservation_id)

    @property
    def account(self):
        """Alice's account."""
        return self.store.peek("alice")

    @property
    def totals(self):
        """Alice's balance, what is held of it, and what is available."""
        account = self.account
        held = account.more.held_microcents if account.more else 0
        return (account.balance_microcents, held, account.available_microcents)

    @property
    def left(self):
        """What is left of each of alice's grants, in the order in which they are drawn from."""
        return [grant.left_microcents for grant in self.account.more.grants] if self.account.more else []
