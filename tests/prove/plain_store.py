"""A store in a few dicts: the rules, and what a store has to do for them, without a database."""

from meterd_server.model import Account, Expire, Lapse, ReservationState
from meterd_server.rules import Facts, Original, charged_for, decide_batch, expiry_request_id, may_be_recorded, needs


class PlainStore:
    """As much of the store protocol as the machine uses. `decide_batch` is given what `needs` asks for and nothing else."""

    def __init__(self):
        self._accounts = {}
        self._entries = {}
        self._by_request = {}
        self._reservations = {}
        self._reversed = {}

    async def open(self):
        """There is nothing to open."""

    async def reopen(self):
        """There is nothing to start over."""

    async def close(self):
        """There is nothing to close."""

    async def commit(self, commands, now_us):
        """Decide the commands and keep what they make."""
        return self.decide(commands, now_us)

    def decide(self, commands, now_us):
        """`commit`, which there is nothing to wait for in."""
        keys = {(each.user_id, each.request_id) for each in commands if may_be_recorded(each)}
        recorded = {key: self._by_request[key] for key in keys if key in self._by_request}
        accounts = {each.user_id: self._account(each.user_id) for each in commands}
        decision = decide_batch(accounts, recorded, commands, now_us, self._facts(needs(commands)))
        for entry in decision.entries:
            key = (entry.user_id, entry.request_id)
            assert key not in self._by_request, "a request id is unique for ever"
            self._by_request[key] = entry
            entries = self._entries.setdefault(entry.user_id, [])
            assert entry.version == len(entries) + 1
            entries.append(entry)
            if entry.more and (reservation := entry.more.reservation):
                self._reservations[entry.user_id, reservation.reservation_id] = reservation
            if entry.more and (reversal := entry.more.reversal):
                self._reversed[entry.user_id, reversal.version] = reversal.reversed_microcents
        self._accounts |= decision.accounts
        return decision.outcomes

    def _account(self, user_id):
        return self._accounts.get(user_id, Account(user_id))

    def peek(self, user_id):
        """The account as it is."""
        return self._account(user_id)

    def entries_now(self, user_id):
        """All entries of a user, oldest first."""
        return self._entries.get(user_id, [])

    def _facts(self, needed):
        if needed is None:
            return Facts({}, {})
        originals = {}
        for user_id, version in needed.originals:
            entries = self.entries_now(user_id)
            if version <= len(entries):
                originals[user_id, version] = Original(entries[version - 1], self._reversed.get((user_id, version), 0))
        keys = needed.reservations.union(charged_for(originals.values()))
        return Facts({key: self._reservations[key] for key in keys if key in self._reservations}, originals)

    async def account(self, user_id):
        """The account as it is."""
        return self._account(user_id)

    async def entries(self, user_id, *, after_version, before_version, newest_first, limit):
        """The entries asked for, oldest first."""
        assert not newest_first
        return [e for e in self.entries_now(user_id)[after_version:] if e.version < before_version][:limit]

    async def due(self, now_us, limit):
        """What is due, oldest first."""
        found = []
        for (user_id, _), hold in self._reservations.items():
            if hold.state is ReservationState.OPEN and hold.expire_time_us <= now_us:
                expire = Expire(user_id, expiry_request_id(hold.version), hold.reservation_id)
                found.append((hold.expire_time_us, expire))
        for user_id, account in self._accounts.items():
            times = [grant.expire_time_us for grant in (account.more.grants if account.more else ())]
            if times and min(times) <= now_us:
                found.append((min(times), Lapse(user_id)))
        return [command for _, command in sorted(found, key=lambda each: each[0])[:limit]]
