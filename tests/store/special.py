"""A store with a clock, for what comes of time and of one command after the other."""

from meterd_server.model import Account, Applied, Lapse
from meterd_server.rules import apply
from rules.commands import capture, cost, extend, funding, grant, policy, release, reserve, reverse
from store.model import entries_of

SECOND = 1_000_000


class Counter:
    """A store at which commands are carried out, at a time that a test says; `reopens` between any two of them if it can."""

    def __init__(self, open_store, *, reopens=False):
        self._open_store = open_store
        self._reopens = reopens
        self.now_us = 1_700_000_000 * SECOND
        self.store = None

    async def batch(self, *commands):
        """Return the outcomes of commands in one batch, once what is stored was checked to fit together."""
        if self.store is None or self._reopens:
            if self.store:
                await self.store.close()
            self.store = await self._open_store()
        outcomes = await self.store.commit(commands, self.now_us)
        await assert_sound(self.store, {command.user_id for command in commands})
        return outcomes

    async def do(self, command):
        """Return the outcome of a command that comes alone."""
        (outcome,) = await self.batch(command)
        return outcome

    async def applied(self, command):
        """Return the new entry of a command that comes alone."""
        outcome = await self.do(command)
        assert isinstance(outcome, Applied), outcome
        assert not outcome.replayed
        return outcome.entry

    async def refused(self, command):
        """Return the reason why a command that comes alone is refused."""
        return (await self.do(command)).reason

    async def sweep(self):
        """Carry out what is due, as the daemon does; return how many commands there were."""
        due = await self.store.due(self.now_us, 1000)
        for command in due:
            await self.do(command)
        return len(due)

    def passes(self, seconds):
        """Let time pass."""
        self.now_us += int(seconds * SECOND)

    async def account(self, user_id="alice"):
        """Return an account."""
        return await self.store.account(user_id)

    async def totals(self, user_id="alice"):
        """Return balance, what is held, and what is available."""
        account = await self.account(user_id)
        return (
            account.balance_microcents,
            account.more.held_microcents if account.more else 0,
            account.available_microcents,
        )


async def assert_sound(store, users):
    """Check that each account is what its entries come to, and that no version and no request id is there twice."""
    for user_id in users:
        folded, entries = Account(user_id), await entries_of(store, user_id)
        for number, entry in enumerate(entries, 1):
            folded = apply(folded, entry)
            assert (number, folded.balance_microcents) == (entry.version, entry.balance_microcents)
        assert folded == await store.account(user_id)
        assert store.peek(user_id) in (folded, None)
        assert len(entries) == len({entry.request_id for entry in entries})


def special_command(dice, users, now_us):
    """Return any command but a check, for one of the users, with few ids and small amounts."""
    user_id, amount, ttl_us = dice.choice(users), dice.randrange(20), dice.randint(1, 9)
    request_id, reservation_id = f"r{dice.randrange(40)}", f"r{dice.randrange(40)}"
    flag, version = bool(dice.randrange(2)), dice.randint(1, 30)
    ways = [
        lambda: funding(user_id, amount, request_id),
        lambda: grant(user_id, amount, now_us + ttl_us, request_id),
        lambda: cost(user_id, amount, request_id),
        lambda: reserve(user_id, amount, request_id, ttl_us=ttl_us, captures_floor=flag, floor_microcents=amount // 2),
        lambda: reserve(user_id, amount, request_id, ttl_us=ttl_us, allow_partial=flag),
        lambda: capture(user_id, reservation_id, amount, request_id, final=flag),
        lambda: capture(user_id, reservation_id, amount, request_id, final=False),
        lambda: release(user_id, reservation_id, request_id),
        lambda: extend(user_id, reservation_id, request_id, ttl_us=ttl_us, add_microcents=amount // 4),
        lambda: reverse(user_id, version, amount or None, request_id),
        lambda: policy(user_id, request_id, credit_limit_microcents=amount, frozen=flag and not amount),
        lambda: Lapse(user_id),
    ]
    return dice.choice(ways)()
