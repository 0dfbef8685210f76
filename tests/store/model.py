"""A ledger in two dicts, written without the rules' code: what any store has to come to."""

from typing import NamedTuple

from meterd_server.model import Applied, RecordCost
from meterd_server.rules import apply

NEVER = 2**63 - 1
"""A version that none reaches."""


class Line(NamedTuple):
    """What a test knows about an entry without asking the code under test."""

    version: int
    amount_microcents: int
    balance_microcents: int
    request_id: str


class Model:
    """Entries by user and what was asked under each request id."""

    def __init__(self):
        self.lines = {}
        self._asked = {}
        self._funded = {}

    def copy(self):
        """Return a model that goes its own way from here."""
        twin = Model()
        twin.lines = {user_id: list(lines) for user_id, lines in self.lines.items()}
        twin._asked = dict(self._asked)
        twin._funded = dict(self._funded)
        return twin

    def commit(self, commands):
        """Return for each command its reason, or (line, balance now, replayed)."""
        return [self._commit(command) for command in commands]

    def _commit(self, command):
        user_id, request_id = command.user_id, command.request_id
        lines = self.lines.get(user_id, [])
        balance = lines[-1].balance_microcents if lines else 0
        funded = self._funded.get(user_id, 0)
        if (user_id, request_id) in self._asked:
            line, asked = self._asked[user_id, request_id]
            same = (type(asked), asked) == (type(command), command)
            return (line, balance, True) if same else "REQUEST_ID_REUSED"
        if isinstance(command, RecordCost):
            if command.reject_overdraft and command.cost_microcents > balance:
                return "INSUFFICIENT_FUNDS"
            amount = -command.cost_microcents
        else:
            if command.expected_funded_microcents not in (None, funded):
                return "FUNDING_CONFLICT"
            amount = command.amount_microcents
            self._funded[user_id] = funded + amount
        line = Line(len(lines) + 1, amount, balance + amount, request_id)
        self.lines.setdefault(user_id, []).append(line)
        self._asked[user_id, request_id] = (line, command)
        return line, balance + amount, False


def line_of(entry):
    """Return the line of an entry."""
    return Line(entry.version, entry.amount_microcents, entry.balance_microcents, entry.request_id)


def brief(outcomes):
    """Return outcomes in the form in which `Model.commit` gives them."""
    return [
        (line_of(outcome.entry), outcome.account.balance_microcents, outcome.replayed)
        if isinstance(outcome, Applied)
        else str(outcome.reason)
        for outcome in outcomes
    ]


async def entries_of(store, user_id):
    """Return all entries of a user, oldest first."""
    return await store.entries(user_id, after_version=0, before_version=NEVER, newest_first=False, limit=10**6)


async def assert_holds(store, model, users):
    """Check that the store has the model's lines for each user, and the account that follows from its entries."""
    for user_id in users:
        entries = await entries_of(store, user_id)
        assert model.lines.get(user_id, []) == [line_of(entry) for entry in entries]
        account = await store.account(user_id)
        folded = account._replace(version=0, funded_microcents=0, spent_microcents=0, record_time_us=0)
        for entry in entries:
            folded = apply(folded, entry)
        assert folded == account
        assert store.peek(user_id) in (account, None)
