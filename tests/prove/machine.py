"""A machine that does to a ledger whatever can be done, in any order, and holds it against the model after every step."""

import asyncio
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from prove.asking import HOW_ASKED, HUGE, SECOND, SMALL, START, USERS, YEAR, operation_for
from prove.audit import Audit
from prove.model import Model, summary
from prove.operations import command_of, entry_in_full, in_full, operation_of, told, told_account, told_entry

seeds = st.integers(0, 2**64 - 1)


class LedgerMachine(RuleBasedStateMachine):
    """Steps on a store of `engine`, the same steps on the model, and everything that must be true after each."""

    engine = None
    seen: ClassVar = Counter()
    """What came of the operations of all machines, by what they were."""

    def __init__(self):
        super().__init__()
        self.model = Model()
        self.audits = {name: Audit(name) for name in USERS}
        self.now_us = START
        self.amounts = SMALL
        self.seed = self.numbers = 0
        self.asked = []
        self.runner = asyncio.Runner()
        self.place = TemporaryDirectory()
        self.store = None

    def teardown(self):
        """Release what the machine holds."""
        with self.place, self.runner:
            if self.store:
                self.runner.run(self.store.close())

    def _make(self):
        store = self.engine.make(Path(self.place.name), accounts_max=self.accounts_max)
        self.runner.run(store.open())
        return store

    @initialize(
        huge=st.sampled_from([False] * 7 + [True]),
        money=st.sampled_from([0, 150, 600]),
        accounts_max=st.sampled_from([1, 100]),
        seed=seeds,
    )
    def begin(self, huge, money, accounts_max, seed):
        """Most ledgers are about small amounts, which meet; some are about the limits."""
        self.seed = seed
        self.accounts_max = accounts_max
        self.store = self._make()
        self.amounts = HUGE if huge else SMALL
        if money:
            self._commit([{"do": "fund", "user": name, "id": "first", "amount": money} for name in USERS])

    @rule(seed=seeds)
    def spend(self, seed):
        """Ask for money, set it aside, or record what it was spent on."""
        self._roll(seed, ("cost", "cost", "reserve", "reserve", "reserve", "check"))

    @precondition(lambda self: any(known["holds"] for known in self.model.users.values()))
    @rule(seed=seeds)
    def go_on(self, seed):
        """Do something with a reservation."""
        self._roll(seed, ("capture", "capture", "capture", "release", "extend", "extend", "expire"))

    @rule(seed=seeds)
    def fund(self, seed):
        """Record money that came in or was taken back, or have it lapse."""
        self._roll(seed, ("fund", "update", "grant", "grant", "lapse"))

    @precondition(lambda self: self.asked)
    @rule(seed=seeds)
    def administer(self, seed):
        """Undo an entry, in part or whole, or change what an account is allowed."""
        self._roll(seed, ("reverse", "reverse", "reverse", "reverse", "policy"))

    @rule(seed=seeds, size=st.integers(2, 8))
    def do_many(self, seed, size):
        """Do several things in one transaction."""
        self._roll(seed, tuple(HOW_ASKED), size)

    @rule(seed=seeds)
    def let_expire(self, seed):
        """Reserve with a floor, let that expire, and give some of it back or capture late: single steps seldom come so far."""
        dice = Random(f"{self.seed}/{self.numbers}/{seed}")
        reserve = HOW_ASKED["reserve"](dice) | {"floor": 1, "charge_floor": True, "ttl": SECOND}
        self._do(reserve)
        self.wait(dice.choice((1, 1, 400)), 100, 1)
        whose = {"user": reserve["user"]}
        ways = [("reverse", {"version": -2}), ("capture", {"hold": 0})]
        for do, of in dice.choices(ways, k=dice.randint(1, 4)):
            self._do(HOW_ASKED[do](dice) | whose | of)

    @precondition(lambda self: self.asked)
    @rule(back=st.lists(st.integers(0, 5), min_size=1, max_size=3))
    def repeat(self, back):
        """Ask again for what was asked before, under the same ids, whatever came of it."""
        self._commit([self.asked[-1 - each] for each in back if each < len(self.asked)])

    @rule(years=st.sampled_from([-10, 10, -1]))
    def jump(self, years):
        """Set the clock, as far back as there was one."""
        self.now_us = max(YEAR, self.now_us + years * YEAR)

    @rule(
        seconds=st.sampled_from([0, 1, 10, 60, 400]),
        limit=st.sampled_from([1, 3, 100, 100]),
        sweepers=st.sampled_from([0, 1, 1, 2]),
    )
    def wait(self, seconds, limit, sweepers):
        """Let time pass, and then end what is due, as one daemon does or two do at once."""
        self.now_us += seconds * SECOND
        due = self.runner.run(self.store.due(self.now_us, limit))
        assert len(due) <= limit
        operations = [operation_of(command) for command in due]
        assert {str(each) for each in operations} <= {str(each) for each in self._due()}
        if limit == 100:
            assert len(self._due()) == len(operations)
        for _ in range(sweepers):
            self._commit(operations, commands=due)

    @rule(within=st.booleans())
    def restart(self, within):
        """Close the store and open it, or have it start over from what is durable."""
        if not self.engine.survives_reopening:
            return
        if within:
            self.runner.run(self.store.reopen())
        else:
            self.runner.run(self.store.close())
            self.store = self._make()
        self.audits = {name: Audit(name) for name in USERS}
        self._compare()

    def _due(self):
        """Return what the model knows to be due."""
        due = []
        for name, known in self.model.users.items():
            holds = [
                each["id"]
                for each in known["holds"].values()
                if each["state"] == "open" and each["expires"] <= self.now_us
            ]
            due += [{"do": "expire", "user": name, "hold": each} for each in holds]
            if any(each["expires"] <= self.now_us for each in known["grants"].values()):
                due.append({"do": "lapse", "user": name})
        return due

    def _roll(self, seed, ways, size=1):
        # What came before counts, so that the small seeds that hypothesis likes are not the same steps again and again.
        dice = Random(f"{self.seed}/{self.numbers}/{seed}")
        self._do(*[HOW_ASKED[dice.choice(ways)](dice) for _ in range(size)])

    def _do(self, *batch):
        """Carry out a batch: what it names is looked up in what those before it in the batch left."""
        model, operations = self.model, []
        expected = []
        for asked in batch:
            self.numbers += 1
            new_id = f"n{self.numbers}"
            operation = operation_for(asked, model, now_us=self.now_us, amounts=self.amounts, request_id=new_id)
            operations.append((operation, command_of(operation, model)))
            expected.append(in_full(model.apply(operation, self.now_us)))
        self.asked += [operation for operation, _ in operations]
        self._finish(operations, expected)

    def _commit(self, operations, commands=None):
        """Carry out operations as they are."""
        commands = commands or [command_of(operation, self.model) for operation in operations]
        expected = [in_full(self.model.apply(operation, self.now_us)) for operation in operations]
        self._finish(list(zip(operations, commands, strict=True)), expected)

    def _finish(self, operations, expected):
        outcomes = self.runner.run(self.store.commit([command for _, command in operations], self.now_us))
        for outcome, (asked, _), wanted in zip(outcomes, operations, expected, strict=True):
            assert not _differences(wanted, told(outcome, asked)), asked
            self._note(asked, wanted)
        self._compare()

    def _note(self, asked, wanted):
        do, entry = asked["do"], wanted.get("entry")
        self.seen.update([(do, wanted["outcome"]), wanted["outcome"], wanted.get("why")])
        if entry and wanted["outcome"] == "recorded":
            self.seen.update((do, name) for name in ("late", "overrun") if entry[name])
            if do == "reverse":
                reversed_kind = self.model.user(asked["user"])["log"][entry["reverses"] - 1]["kind"]
                self.seen.update([(do, reversed_kind)] + [(do, "restores a grant")] * bool(entry["drawn"]))
                self.seen.update([(do, "unsettles")] * bool(entry["hold"]))

    def _compare(self):
        for name, audit in self.audits.items():
            account = self.runner.run(self.store.account(name))
            known = self.model.user(name)
            assert not _differences(summary(known), told_account(account))
            assert self.store.peek(name) in (account, None)
            seen = len(audit.entries)
            if seen < account.version:
                entries = self.runner.run(
                    self.store.entries(
                        name, after_version=seen, before_version=2**63 - 1, newest_first=False, limit=10**6
                    )
                )
                assert [entry_in_full(each) for each in known["log"][seen:]] == [told_entry(each) for each in entries]
                audit.read(entries)
            audit.holds(account)


def _differences(wanted, found, at="outcome"):
    """Return where two outcomes differ: what the model says, and what the ledger says."""
    if not isinstance(wanted, dict) or not isinstance(found, dict):
        return {} if wanted == found else {at: (wanted, found)}
    there = {
        name: _differences(wanted.get(name), found.get(name), f"{at}.{name}") for name in wanted.keys() | found.keys()
    }
    return {name: pair for differences in there.values() for name, pair in differences.items()}
