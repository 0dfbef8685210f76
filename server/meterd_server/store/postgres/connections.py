"""The connections of one daemon: a few that are kept, and new ones when it has to be certain whom it talks to.

Each one is to a server that takes writes: of several hosts in the address, the primary. Nothing here is ever cancelled by a
timeout of the driver, which would send a CancelRequest: what takes too long is cut off instead, on this side only.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from meterd_server.store.postgres.address import Address

CONNECT_SECONDS_MAX = 5.0
"""How long making a connection may take."""

BORROW_SECONDS_MAX = 40.0
"""How long a connection may be used, or waited for: beyond every lock_timeout, so only a server that is gone is cut off."""

CLOSE_SECONDS_MAX = 5.0
"""How long an orderly goodbye may take."""

CONNECTION_ERRORS: tuple[type[Exception], ...] = (
    OSError,  # TimeoutError is one
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.ReadOnlySQLTransactionError,
)
"""What is raised when a server goes away, is not there yet, or is not the primary any more."""


class Connection(Protocol):
    """What this package uses of an asyncpg connection, which has no types of its own."""

    async def execute(self, query: str, *args: Any) -> str: ...  # noqa: ANN401, D102
    async def copy_records_to_table(self, table_name: str, **options: Any) -> str: ...  # noqa: ANN401, D102
    async def fetch(self, query: str, *args: Any) -> list[Any]: ...  # noqa: ANN401, D102
    async def fetchrow(self, query: str, *args: Any) -> Any: ...  # noqa: ANN401, D102
    async def fetchval(self, query: str, *args: Any) -> Any: ...  # noqa: ANN401, D102
    def is_closed(self) -> bool: ...  # noqa: D102
    def terminate(self) -> None: ...  # noqa: D102


_TYPES = "SELECT $1::int2[], $2::int8[], $3::bytea[], $4::bool[]"
"""Asked once a connection: the driver looks a type up when it first meets it, which is not to be in a transaction."""

Connect: TypeAlias = "Callable[..., Awaitable[Any]]"
"""Makes a connection as `asyncpg.connect` does."""


class Connections:
    """A pool for one address. `connect` makes connections as `asyncpg.connect` does."""

    def __init__(self, address: Address, size: int, connect: Connect) -> None:
        self._address = address
        self._connect = connect
        self._size = size
        self._pool: Any = None

    async def open(self) -> None:
        """Make all of them at once, so that a server with too few says so now. Raises what the driver raises."""
        self._pool = asyncpg.create_pool(
            min_size=self._size,
            max_size=self._size,
            max_inactive_connection_lifetime=0,
            connect=self._connected,
            reset=_leave_as_it_is,
            **self._options(),
        )
        try:
            await self._pool
        except BaseException:
            self._pool.terminate()
            raise

    async def connect(self) -> Connection:
        """A connection of one's own, to a server that says now that it takes writes."""
        return await self._connected(**self._options())

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[Connection]:
        """A connection of the pool. Cut off when it takes longer than BORROW_SECONDS_MAX: its user sees it as lost."""
        pool = self._pool  # `close` may forget it meanwhile
        if pool is None:
            raise asyncpg.InterfaceError("the connections are closed")
        connection = await pool.acquire(timeout=BORROW_SECONDS_MAX)
        try:
            with cut_off_after(BORROW_SECONDS_MAX, connection):
                yield connection
        finally:
            await pool.release(connection)

    @asynccontextmanager
    async def fresh(self) -> AsyncIterator[Connection]:
        """A connection made for this use only, cut off as a borrowed one is."""
        connection = await self.connect()
        try:
            with cut_off_after(BORROW_SECONDS_MAX, connection):
                yield connection
        except BaseException:
            connection.terminate()
            raise
        # The server is to have let go of it before the next one is made: it may have no more than it needs.
        await hang_up(connection)

    async def close(self) -> None:
        """Say goodbye to all, or hang up on a server that does not answer."""
        pool, self._pool = self._pool, None
        if pool:
            await hang_up(pool)

    async def _connected(self, *args: Any, **options: Any) -> Connection:  # noqa: ANN401
        connection: Connection = await self._connect(*args, **options)
        try:
            await connection.fetch(_TYPES, [], [], [], [])
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _options(self) -> dict[str, Any]:
        return {
            "dsn": self._address.url,
            "timeout": CONNECT_SECONDS_MAX,
            "statement_cache_size": self._address.statement_cache_size,
            # Of several hosts the primary, and never a replica: what it has may be old.
            "target_session_attrs": "read-write",
        }


class cut_off_after:  # noqa: N801 -- reads as what it does in a `with`
    """Hang up on a connection that is not done within some seconds. The server is not told to cancel anything."""

    def __init__(self, seconds: float, connection: Connection) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, connection.terminate)

    def __enter__(self) -> None:
        """The time runs from the making on."""

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


async def _leave_as_it_is(_connection: Connection) -> None:
    """Spare the driver's reset query: all that this package sets ends with its transaction."""


async def hang_up(line: Any) -> None:  # noqa: ANN401 -- a connection or a pool
    """Say goodbye, or hang up on a server that does not answer."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS_MAX):
            await line.close()
    except (*CONNECTION_ERRORS, asyncpg.PostgresError):
        line.terminate()
