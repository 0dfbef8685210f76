"""The PostgreSQL store: what the daemon holds of it. Nothing that is kept in memory here decides anything."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from meterd_server.errors import StartupError, StoreUnavailable
from meterd_server.model import Account
from meterd_server.pricing import card_from_json, card_to_json
from meterd_server.rules import BatchDecision
from meterd_server.store.consequences import due_commands
from meterd_server.store.postgres.address import parse
from meterd_server.store.postgres.buckets import BUCKETS, bucket_of
from meterd_server.store.postgres.connections import CONNECTION_ERRORS, Connections
from meterd_server.store.postgres.rows import account_from_row, entry_from_row, unpack_request_id
from meterd_server.store.postgres.schema import distribute, migrate
from meterd_server.store.postgres.startup import explained, look
from meterd_server.store.postgres.statements import Statements, make_statements
from meterd_server.store.postgres.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping, Sequence

    from meterd_server.model import Command, Entry, Outcome
    from meterd_server.pricing import RateCard
    from meterd_server.store.postgres.connections import Connect

log = logging.getLogger(__name__)

_T = TypeVar("_T")

CONNECTIONS = 8
"""How many connections a daemon keeps: a lane for every four of them, the others for reads."""


class _Open:
    """What there is while the store can be used; a failure replaces all of it."""

    def __init__(self, connections: Connections, statements: Statements, begin: str) -> None:
        self.connections = connections
        self.statements = statements
        self.writer = Writer(connections, statements, begin)


class PostgresStore:
    """`Store` in the PostgreSQL database at `url`; see `address.Address` for what the URL may say.

    Any number of these, in any number of processes, may work on one database.
    """

    shared = True

    def __init__(self, url: str, *, connections: int = CONNECTIONS, connect: Connect = asyncpg.connect) -> None:
        self._address = parse(url)
        self._connections_max = max(2, connections)
        self._connect = connect
        self._lanes = max(1, self._connections_max // 4)
        self._distributed = False
        self._open: _Open | None = None
        # Where tables are distributed there are more lanes than connections, and reads are not to be left without any.
        self._writing = asyncio.Semaphore(max(1, self._connections_max * 3 // 4))
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def place(self) -> str:
        """The address as a person may read it."""
        return self._address.place

    @property
    def needs_reopening(self) -> bool:
        """See `Store.needs_reopening`: also when a read found the server away, twice."""
        return self._open is None

    @property
    def lanes(self) -> int:
        """See `Store.lanes`; known once the store was opened."""
        return BUCKETS if self._distributed else self._lanes

    def lane_of(self, user_id: str) -> int:
        """See `Store.lane_of`: the user's bucket where tables are distributed, else some of the buckets."""
        bucket = bucket_of(user_id)
        return bucket if self._distributed else bucket % self._lanes

    async def open(self) -> None:
        """See `Store.open`."""
        with explained(self._address, self._connections_max):
            self._open = await self._start()

    async def reopen(self) -> None:
        """See `Store.reopen`."""
        self._fail()
        try:
            self._open = await self._start()
        except (*CONNECTION_ERRORS, asyncpg.PostgresError, StartupError) as error:
            raise StoreUnavailable(f"{self.place}: {type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """See `Store.close`: commits under way are carried through."""
        self._fail()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def commit(self, commands: Sequence[Command], now_us: int) -> list[Outcome]:
        """See `Store.commit`. Cancelling it abandons the answer; the transaction is carried through.

        Where tables are distributed, each bucket's part is a transaction of its own. Lanes send one bucket only.
        """
        active = self._active()
        parts = _parts(commands) if active.statements.distributed else [range(len(commands))]
        outcomes: dict[int, Outcome] = {}
        for places in parts:
            part = [commands[place] for place in places]
            with self._failing("commit"):
                done = await self._carry_through(self._commit(active, part, now_us))
            outcomes.update(zip(places, done, strict=True))
        return [outcomes[place] for place in range(len(commands))]

    def commit_at_once(self, commands: Sequence[Command], now_us: int) -> list[Outcome] | None:
        """None: a network is in between."""

    def peek(self, user_id: str) -> Account | None:
        """None: another daemon may have changed the account meanwhile."""

    async def account(self, user_id: str) -> Account:
        """See `Store.account`. Read from the primary."""
        rows = await self._read("account", bucket_of(user_id), user_id)
        return account_from_row(user_id, rows[0]) if rows else Account(user_id)

    async def entries(
        self, user_id: str, *, after_version: int, before_version: int, newest_first: bool, limit: int
    ) -> list[Entry]:
        """See `Store.entries`: a range of the primary key."""
        name = "newest_entries" if newest_first else "oldest_entries"
        rows = await self._read(name, bucket_of(user_id), user_id, after_version, before_version, limit)
        return [entry_from_row(user_id, row) for row in rows]

    async def due(self, now_us: int, limit: int) -> list[Command]:
        """See `Store.due`: over all buckets."""
        reservations = await self._read("due_reservations", now_us, limit)
        grants = await self._read("due_grants", now_us, limit)
        return due_commands([(*row[:-1], unpack_request_id(row[-1])) for row in reservations], grants, limit)

    async def lease(self, holder: str, seconds: float) -> bool:
        """See `Store.lease`: by the server's clock."""
        return bool(await self._read("lease", holder, seconds))

    async def rate_cards(self) -> list[RateCard]:
        """See `Store.rate_cards`."""
        return [card_from_json(row[0]) for row in await self._read("rate_cards")]

    async def rate_card_count(self) -> int:
        """See `Store.rate_card_count`."""
        count: int = (await self._read("count_rate_cards"))[0][0]
        return count

    async def add_rate_cards(self, cards: Sequence[RateCard]) -> bool:
        """See `Store.add_rate_cards`."""
        columns = [(card.service, card.model, card.version, card_to_json(card)) for card in cards]
        with self._failing("rate cards"):
            return await self._carry_through(self._add_rate_cards(*map(list, zip(*columns, strict=True))))

    async def _add_rate_cards(self, *columns: list[object]) -> bool:
        active = self._active()
        async with active.connections.borrow() as connection:
            try:
                await connection.execute(active.statements.insert_rate_cards, *columns)
            except asyncpg.UniqueViolationError:
                return False
        return True

    async def users(self, after: str | None, limit: int) -> list[Account]:
        """See `Store.users`: in the order of (bucket, user id)."""
        start = (-1, "") if after is None else (bucket_of(after), after)
        rows = await self._read("users", *start, limit)
        return [account_from_row(row[0], row[1:]) for row in rows]

    async def import_entries(self, entries: Sequence[Entry], accounts: Mapping[str, Account]) -> None:
        """See `Store.import_entries`."""
        active = self._active()
        parts = _parts(entries) if active.statements.distributed else [range(len(entries))]
        for places in parts:
            part = [entries[place] for place in places]
            after = {entry.user_id: accounts[entry.user_id] for entry in part}
            first = {entry.user_id: entry.version for entry in reversed(part)}
            known = {user_id for user_id, version in first.items() if version > 1}
            with self._failing("import"):
                await self._carry_through(active.writer.write(BatchDecision([], part, after), known))

    async def distribute(self) -> list[str]:
        """Distribute the tables, for `meterd db init --distribute`: sentences that say what was done."""
        with explained(self._address, self._connections_max):
            async with self._active().connections.fresh() as connection:
                return await distribute(connection, self._address)

    async def _start(self) -> _Open:
        connections = Connections(self._address, self._connections_max, self._connect)
        async with connections.fresh() as connection:
            begin = await look(connection, self._address)
            meta = await migrate(connection, self._address)
        await connections.open()
        self._distributed = meta.distributed
        return _Open(connections, make_statements(self._address.schema, distributed=meta.distributed), begin)

    async def _commit(self, active: _Open, commands: Sequence[Command], now_us: int) -> list[Outcome]:
        async with self._writing:
            return await active.writer.commit(commands, now_us)

    async def _read(self, name: str, *args: object) -> list[Any]:
        """The rows of a statement that may run twice. A connection that broke is replaced once: it may have been idle for long."""
        active = self._active()
        for is_last in (False, True):
            try:
                async with active.connections.borrow() as connection:
                    return await connection.fetch(getattr(active.statements, name), *args)
            except (*CONNECTION_ERRORS, asyncpg.PostgresError) as error:
                if is_last or not isinstance(error, CONNECTION_ERRORS):
                    # One that waited in vain says nothing of the server; a row that cannot be read, nothing of the others.
                    if isinstance(error, CONNECTION_ERRORS) and not isinstance(error, TimeoutError):
                        self._fail_if(active)
                    raise StoreUnavailable(f"{self.place}: {type(error).__name__}: {error}") from error
        raise AssertionError("unreachable")

    def _active(self) -> _Open:
        if self._open is None:
            raise StoreUnavailable("the database is closed")
        return self._open

    def _fail(self) -> None:
        """Use no more what there was: its connections end with the commits that are under way on them."""
        active, self._open = self._open, None
        if active:
            self._keep(active.connections.close())

    def _fail_if(self, active: _Open) -> None:
        """Fail, unless something else is in use by now than was when it failed."""
        if self._open is active:
            self._fail()

    async def _carry_through(self, work: Coroutine[None, None, _T]) -> _T:
        """Wait for work that is not cancelled with its caller: a cancelled COMMIT may be answered before it is replicated."""
        return await asyncio.shield(self._keep(work))

    def _keep(self, work: Coroutine[None, None, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """A write that fails makes the store unavailable until `reopen`."""
        try:
            yield
        except Exception as error:
            self._fail()
            raise StoreUnavailable(f"{what} on {self.place}: {type(error).__name__}: {error}") from error


def _parts(rows: Sequence[Command] | Sequence[Entry]) -> list[Sequence[int]]:
    """The places of each bucket's rows."""
    parts: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        parts.setdefault(bucket_of(row.user_id), []).append(place)
    return list(parts.values())
