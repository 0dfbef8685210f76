"""A ledger in which everything has happened that can, made by the rules alone, and read from memory."""

from meterd_server.model import (
    Account,
    Capture,
    Expire,
    Extend,
    GrantTerms,
    Lapse,
    PricedUsage,
    RateCardKey,
    RecordCost,
    Release,
    Reserve,
    Reverse,
    SetPolicy,
    Usage,
)
from meterd_server.rules import NO_FACTS, Facts, Original, decide_batch, expiry_request_id, needs
from rules.commands import cost, funding

SECOND_US = 1_000_000
NOW_US = 1_800_000_000 * SECOND_US


def priced(picocents):
    """Return a usage that costs so much."""
    return PricedUsage(Usage("s", "m", (("tokens", 3),)), picocents, RateCardKey("s", "m", 1))


EVERYTHING = (
    (0, funding("ada", 1_000, "f1")),
    (0, funding("ada", 300, "f2", grant=GrantTerms(NOW_US + 50 * SECOND_US, 1, "gift"))),
    (0, funding("ada", 200, "f3", grant=GrantTerms(NOW_US + 90 * SECOND_US, 0, "trial"))),
    (1, cost("ada", 350, "c1")),
    (1, RecordCost("ada", "u1", 0, priced=priced(1_700_000))),
    (2, Reserve("ada", "r1", 100, 10 * SECOND_US)),
    (2, Reserve("ada", "r2", 100, 10 * SECOND_US, captures_floor=True, floor_microcents=40)),
    (2, Reserve("ada", "r3", 50, 10 * SECOND_US)),
    (2, Reserve("ada", "r4", 20, 100 * SECOND_US)),
    (3, Capture("ada", "k1", "r1", 30, final=False)),
    (4, Extend("ada", "x1", "r1", add_microcents=10)),
    (5, Capture("ada", "k2", "r1", 95)),
    (6, Release("ada", "l1", "r3")),
    (13, Expire("ada", expiry_request_id(7), "r2")),
    (14, Capture("ada", "k3", "r2", 60)),
    (15, Reverse("ada", "v1", 4, 100)),
    (16, Reverse("ada", "v2", 4)),
    (17, Reverse("ada", "v3", 1, 5)),
    (18, SetPolicy("ada", "p1", credit_limit_microcents=500)),
    (60, Lapse("ada")),
    (61, cost("bob", 7, "c1")),
    (62, cost("ada", 1, "c2")),
)
"""(seconds after NOW_US, command): ada's r4 stays open, her grant of f3 stands."""


class MemoryLedger:
    """What a store keeps, in lists: to be read, and to be damaged."""

    def __init__(self, commands=EVERYTHING):
        self.accounts = {}
        self.logs = {}
        self.reservations = {}
        self.reversed = {}
        for seconds, command in commands:
            assert self.carry_out(command, seconds), f"{command} made no entry"

    def carry_out(self, command, seconds):
        """Have the rules decide a command so long after NOW_US, under a request id that is new; return how many entries it made."""
        user_id = command.user_id
        accounts = {user_id: self.accounts.get(user_id, Account(user_id))}
        facts = self._facts(needs([command]))
        decision = decide_batch(accounts, {}, [command], NOW_US + seconds * SECOND_US, facts)
        self.accounts |= decision.accounts
        for entry in decision.entries:
            self.logs.setdefault(user_id, []).append(entry)
            if entry.more and (reservation := entry.more.reservation):
                self.reservations[user_id, reservation.reservation_id] = reservation
            if entry.more and (reversal := entry.more.reversal):
                self.reversed[user_id, reversal.version] = reversal.reversed_microcents
        return len(decision.entries)

    def _facts(self, wanted):
        if wanted is None:
            return NO_FACTS
        originals = {
            (user_id, version): Original(log[version - 1], self.reversed.get((user_id, version), 0))
            for user_id, version in wanted.originals
            if len(log := self.logs.get(user_id, [])) >= version
        }
        found = wanted.reservations & self.reservations.keys()
        return Facts({key: self.reservations[key] for key in found}, originals)

    async def users(self, after, limit):
        """See `Store.users`."""
        return [self.accounts[user_id] for user_id in sorted(self.accounts) if user_id > (after or "")][:limit]

    async def entries(self, user_id, *, after_version, before_version, newest_first, limit):
        """See `Store.entries`."""
        assert not newest_first
        return [each for each in self.logs[user_id] if after_version < each.version < before_version][:limit]

    def replace(self, version, user="ada", /, **fields):
        """Put other values into an entry."""
        log = self.logs[user]
        log[version - 1] = log[version - 1]._replace(**fields)

    def replace_more(self, version, **fields):
        """Put other values into what ada's entry has that most do not."""
        self.replace(version, more=self.logs["ada"][version - 1].more._replace(**fields))

    def replace_reservation(self, version, **fields):
        """Put other values into the reservation as ada's entry says that it is."""
        self.replace_more(version, reservation=self.logs["ada"][version - 1].more.reservation._replace(**fields))

    def replace_account(self, **fields):
        """Put other values into ada's account."""
        self.accounts["ada"] = self.accounts["ada"]._replace(**fields)
