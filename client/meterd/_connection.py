"""The blocking client's connection: made by the first call, and anew in a forked child."""

import os
import threading
import weakref
from collections.abc import Callable

import grpc

from meterd._calls import Stubs
from meterd._exchange import BlockingExchange


class Connection:
    """One channel for all threads of a process. `check_open` raises once the client is closed."""

    def __init__(
        self, open_channel: Callable[[], grpc.Channel], check_open: Callable[[], None], *, coalesce: bool
    ) -> None:
        self._open_channel = open_channel
        self._check_open = check_open
        self._coalesce = coalesce
        self._lock = threading.Lock()
        self._made: tuple[grpc.Channel, BlockingExchange] | None = None
        _connections.add(self)

    def exchange(self) -> BlockingExchange:
        """Return what sends calls; connect if that was not done yet."""
        with self._lock:
            self._check_open()
            if self._made is None:
                channel = self._open_channel()
                self._made = channel, BlockingExchange(Stubs(channel), self._check_open, coalesce=self._coalesce)
            return self._made[1]

    def close(self) -> None:
        """Close what was made. `check_open` has to raise by now."""
        with self._lock:
            if self._made is not None:
                channel, exchange = self._made
                exchange.close()
                channel.close()

    def start_anew(self) -> None:
        """Forget everything: the threads that may hold a lock or have a call under way are those of another process."""
        self._lock = threading.Lock()
        _inherited.append(self._made)
        self._made = None


_connections: weakref.WeakSet[Connection] = weakref.WeakSet()
_inherited: list[object] = []
"""Connections that are a parent process's to close: dropping them would close them."""


def _start_anew_in_child() -> None:
    for connection in list(_connections):
        connection.start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew_in_child)
