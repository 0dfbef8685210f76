"""A load whose every operation is remembered, and an audit that holds the ledger against what was remembered.

`Load` sends operations with request ids of its own and sorts them by what it was told: acknowledged, refused, or unknown. `settle`
repeats the unknown ones, and `audit` reads every ledger and holds each promise against it. Nothing here knows how the daemon
was stopped in between.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import grpc

import meterd

USERS = tuple(f"user-{number}" for number in range(8))
WRITERS = 16
NO_RETRY = meterd.RetryPolicy(attempts=1)
UNKNOWN_OUTCOME = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
"""What a caller may see of a connection that broke; anything else is an answer that the daemon should not have given."""


@dataclass(frozen=True)
class Operation:
    """One change that is asked for, and can be asked for again exactly as it was."""

    user_id: str
    request_id: str
    amount_microcents: int
    """Positive: a funding; else a cost."""
    reject_overdraft: bool = False

    async def send(self, client: meterd.AsyncClient) -> meterd.Recorded:
        labels = {"of": self.request_id}
        if self.amount_microcents > 0:
            return await client.record_funding(
                self.user_id, self.amount_microcents, request_id=self.request_id, labels=labels
            )
        return await client.record_cost(
            self.user_id,
            -self.amount_microcents,
            request_id=self.request_id,
            labels=labels,
            service="prove",
            reject_overdraft=self.reject_overdraft,
        )


@dataclass
class Load:
    """Sixteen writers over eight users, and what became of each operation.

    `on_event` is called with the number of sends and answers so far, from within: what it does, such as a kill, happens at that
    very point. A writer ends when it is told that an outcome is unknown, or when `operations_max` were sent.
    """

    seed: int
    operations_max: int = 1_000_000
    on_event: Callable[[int], None] = lambda _: None
    acknowledged: dict[Operation, meterd.Entry] = field(default_factory=dict)
    refused: set[Operation] = field(default_factory=set)
    unknown: set[Operation] = field(default_factory=set)
    failures: list[meterd.Error] = field(default_factory=list)
    _events: int = 0
    _sent: int = 0

    async def run(self, address: str) -> None:
        """Write until every writer has ended."""
        async with meterd.AsyncClient(address, retry=NO_RETRY) as client:
            await asyncio.gather(*(self._write(client, random.Random(f"{self.seed}/{n}"), n) for n in range(WRITERS)))

    async def _write(self, client: meterd.AsyncClient, rng: random.Random, writer: int) -> None:
        number = 0
        while self._sent < self.operations_max:
            number += 1
            operation = _draw(rng, f"{self.seed}-{writer}-{number}")
            if not await self._send(client, operation):
                return

    async def _send(self, client: meterd.AsyncClient, operation: Operation) -> bool:
        self._sent += 1
        # It is unknown from the moment that it may have left.
        self.unknown.add(operation)
        self._happened()
        try:
            recorded = await operation.send(client)
        except meterd.InsufficientFundsError:
            self.refused.add(operation)
        except meterd.Error as error:
            if error.code not in UNKNOWN_OUTCOME:
                raise
            self.failures.append(error)
            return False
        else:
            assert not recorded.replayed
            self.acknowledged[operation] = recorded.entry
        self.unknown.remove(operation)
        self._happened()
        return True

    def _happened(self) -> None:
        self._events += 1
        self.on_event(self._events)

    async def settle(self, client: meterd.AsyncClient) -> None:
        """Repeat what is unknown with the same request_id: each is then acknowledged or refused, and applied at most once."""
        before = {user_id: by_request_id(await read(client, user_id)) for user_id in USERS}
        for operation in sorted(self.unknown, key=lambda operation: operation.request_id):
            entry = before[operation.user_id].get(operation.request_id)
            try:
                recorded = await operation.send(client)
            except meterd.InsufficientFundsError:
                assert entry is None, f"{operation} is in the ledger, and its repetition was refused"
                self.refused.add(operation)
            else:
                assert (entry is not None) == recorded.replayed
                assert entry in (None, recorded.entry)
                self.acknowledged[operation] = recorded.entry
        self.unknown.clear()


def _draw(rng: random.Random, request_id: str) -> Operation:
    """A random change: costs and fundings of like size, so that balances stay near zero and refusals happen."""
    amount = rng.randrange(1, 10_000)
    kind = rng.choice(("funding", "cost", "cost", "rejectable", "free"))
    signed = {"funding": 2 * amount, "free": 0}.get(kind, -amount)
    return Operation(rng.choice(USERS), request_id, signed, reject_overdraft=kind == "rejectable")


async def read(client: meterd.AsyncClient, user_id: str) -> list[meterd.Entry]:
    """The user's whole ledger, oldest entry first."""
    return [entry async for entry in client.list_entries(user_id, oldest_first=True, page_size=1_000)]


def by_request_id(entries: list[meterd.Entry]) -> dict[str, meterd.Entry]:
    """The entries by request id; each id is there once."""
    found = {entry.request_id: entry for entry in entries}
    assert len(entries) == len(found)
    return found


async def audit(client: meterd.AsyncClient, *loads: Load) -> None:
    """Hold the ledgers against what the loads were told.

    Every acknowledged operation is there once, as it was answered; no refused one is; and nothing is there that was not sent. Each
    ledger adds up. Operations of unknown outcome may be there or not: `settle` before to leave none.
    """
    acknowledged = {operation: entry for load in loads for operation, entry in load.acknowledged.items()}
    unknown = {operation.request_id for load in loads for operation in load.unknown}
    for user_id in USERS:
        entries = await read(client, user_id)
        expected = {o.request_id: entry for o, entry in acknowledged.items() if o.user_id == user_id}
        found = by_request_id(entries)
        assert expected == {key: entry for key, entry in found.items() if key in expected}
        assert found.keys() - expected.keys() <= unknown
        for operation in acknowledged:
            if operation.user_id == user_id:
                assert operation.amount_microcents == found[operation.request_id].amount_microcents
        assert_adds_up(entries, await client.get_balance(user_id))


async def settled(address: str, loads: list[Load]) -> None:
    """Audit a daemon that may still be coming back, have what is unknown settled, and audit it again."""
    async with meterd.AsyncClient(address, retry=meterd.RetryPolicy(attempts=30)) as client:
        await audit(client, *loads)
        for load in loads:
            await load.settle(client)
        await audit(client, *loads)


def assert_adds_up(entries: list[meterd.Entry], balance: meterd.Balance) -> None:
    """One user's versions have no gap, times increase, each balance follows from the one before, and the sums are the account's."""
    assert list(range(1, len(entries) + 1)) == [entry.version for entry in entries]
    assert all(earlier.record_time < later.record_time for earlier, later in pairwise(entries))
    total_microcents = 0
    for entry in entries:
        total_microcents += entry.amount_microcents
        assert total_microcents == entry.balance_microcents
    funded = sum(entry.amount_microcents for entry in entries if entry.kind is meterd.EntryKind.FUNDING)
    spent = -sum(entry.amount_microcents for entry in entries if entry.kind is meterd.EntryKind.COST)
    assert (len(entries), total_microcents) == (balance.version, balance.balance_microcents)
    assert (funded, spent) == (balance.funded_microcents, balance.spent_microcents)
