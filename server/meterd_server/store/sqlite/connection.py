"""A connection with a thread of its own, from aiosqlite, that takes whole functions there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import aiosqlite

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Connection(aiosqlite.Connection):
    """An aiosqlite connection that also runs a whole function on its thread: one hop, however many statements."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, 64)
        self._under_way: set[object] = set()

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting for the thread or running there, so that any thread may use the connection."""
        return not self._under_way

    async def run(
        self, function: Callable[Concatenate[sqlite3.Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call `function(connection, ...)` on the connection's thread. Cancelling the await does not stop it."""
        work = object()

        def call() -> _T:
            try:
                return function(self._conn, *args, **kwargs)
            finally:
                self._under_way.discard(work)

        self._under_way.add(work)
        result: _T = await self._execute(call)  # type: ignore[no-untyped-call]
        return result

    async def ended(self) -> None:
        """Wait for the thread of a connection that could not be made: it must not speak to a loop that is gone."""
        await asyncio.to_thread(self._thread.join)
