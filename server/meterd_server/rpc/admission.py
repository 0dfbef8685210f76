"""Which calls are turned away before they are read, because too many wait already, and when their callers are to come again.

gRPC hands over a few calls at a time and keeps those behind them to itself: a handler sees some tens of calls when thousands wait,
and each that is read is read too late. What gRPC counts for its own diagnosis (channelz) tells how many there are.

To turn a call away costs about half of what carrying it out does, most of it gRPC's. So it is done as rarely as possible: one who
is turned away is given a time of their own, behind those given before, so that they come back one by one; and the longer it lasts,
the fewer in a second.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from grpc._cython import cygrpc  # type: ignore[attr-defined]  # its stubs leave it out, and it has no other name

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS_UNDER_WAY_MAX = 1_000
"""How many calls a process works on or keeps waiting before it turns others away: about a sixth of a second's work."""

CALLS_A_LOOK = 200
"""After how many calls they are counted anew: that takes as long as a call does, and must not be felt by a caller alone."""

BELIEVED_SECONDS = 0.05
"""How long a count is believed that says there are too many."""

COMPARE_SECONDS = 0.25
"""How often at most the count is compared with what the connections have open."""

SOCKETS_COMPARED_MAX = 16

RETRY_SECONDS_MIN = 0.2
RETRY_SECONDS_MAX = 30.0

RETURNS_PER_SECOND_MAX = 500
"""How many of those who were turned away first are to come back in a second: it may be over by then, and they are to be served."""

RETURNS_PER_SECOND_MIN = 20
"""To how few that falls while it lasts: whatever they do when they come back, it is little beside the others."""

RETURNS_HALVE_SECONDS = 0.5

QUIET_SECONDS = 1.0
"""After how long without a call that was turned away it is over."""

TOGETHER_SECONDS = 0.005
"""How long one who is turned away waits for others: answers that leave together cost gRPC a third less."""


class Counts(Protocol):
    """What gRPC knows of one server's calls."""

    def calls(self) -> int:
        """How many have come and were not ended by a handler: with those that gRPC ended itself, which only grow."""

    def streams(self) -> int:
        """How many are under way, read or not. It takes longer than `calls`, and with many connections it is an estimate."""


class Admission:
    """Decides for each call of one server."""

    def __init__(self, counts: Counts, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._counts = counts
        self._clock = clock
        self._calls_to_look = CALLS_A_LOOK
        self._excess = 0
        self._believed_until = 0.0
        self._ended_by_grpc = 0
        self._compare_after = 0.0
        self._next_return = 0.0
        self._overloaded_since = self._overloaded_until = -math.inf
        self._leaving: asyncio.Event | None = None
        self._standing_calls = 0

    def begin(self) -> None:
        """Be told of a call that stays open, and is no work by itself: a stream."""
        self._standing_calls += 1

    def end(self) -> None:
        """Be told that it is over."""
        self._standing_calls -= 1

    def turns_away(self) -> bool:
        """Whether the call that has come now is one too many."""
        self._calls_to_look -= 1
        if self._calls_to_look <= 0 or (self._excess > 0 and self._clock() > self._believed_until):
            self._calls_to_look = CALLS_A_LOOK
            self._excess = self._look() - CALLS_UNDER_WAY_MAX
            self._believed_until = self._clock() + BELIEVED_SECONDS
        if self._excess <= 0:
            return False
        self._excess -= 1
        return True

    def _look(self) -> int:
        """How many calls are under way."""
        calls = self._counts.calls()
        if (
            calls - self._ended_by_grpc - self._standing_calls > CALLS_UNDER_WAY_MAX
            and self._clock() >= self._compare_after
        ):
            # Not below 0: the streams are counted a moment later.
            self._ended_by_grpc = max(0, calls - self._counts.streams())
            self._compare_after = self._clock() + COMPARE_SECONDS
        return calls - self._ended_by_grpc - self._standing_calls

    def retry_seconds(self) -> float:
        """When the next one who is turned away is to come again, in tenths of a second."""
        now = self._clock()
        if now - self._overloaded_until > QUIET_SECONDS:
            self._overloaded_since = now
        self._overloaded_until = now
        halvings = (now - self._overloaded_since) / RETURNS_HALVE_SECONDS
        returns_per_second = max(RETURNS_PER_SECOND_MAX / 2**halvings, RETURNS_PER_SECOND_MIN)
        earliest = max(now + RETRY_SECONDS_MIN, self._next_return + 1 / returns_per_second)
        self._next_return = min(earliest, now + RETRY_SECONDS_MAX)
        return round(self._next_return - now, 1)

    async def together(self) -> None:
        """Wait for the moment at which those who are turned away leave."""
        if self._leaving is None:
            self._leaving = asyncio.Event()
            asyncio.get_running_loop().call_later(TOGETHER_SECONDS, self._leave)
        await self._leaving.wait()

    def _leave(self) -> None:
        if self._leaving:
            self._leaving.set()
            self._leaving = None


class ServerCounts:
    """The counts of the server of this process that was made last."""

    def __init__(self) -> None:
        self._server, page = 0, _read(cygrpc.channelz_get_servers(0))
        while page.get("server"):
            self._server = max(int(server["ref"]["serverId"]) for server in page["server"])
            page = _read(cygrpc.channelz_get_servers(self._server + 1))

    def calls(self) -> int:
        """See `Counts.calls`."""
        return _under_way(_read(cygrpc.channelz_get_server(self._server))["server"], "calls")

    def streams(self) -> int:
        """See `Counts.streams`."""
        sockets = _read(cygrpc.channelz_get_server_sockets(self._server, 0, 0)).get("socketRef", [])
        sample = random.sample(sockets, min(len(sockets), SOCKETS_COMPARED_MAX))
        streams = 0
        for socket in sample:
            # A connection may be gone since.
            with suppress(ValueError, KeyError):
                streams += _under_way(_read(cygrpc.channelz_get_socket(int(socket["socketId"])))["socket"], "streams")
        return streams * len(sockets) // max(len(sample), 1)


def _under_way(node: Any, what: str) -> int:  # noqa: ANN401 -- it is JSON
    # What is 0 may be left out.
    started, succeeded, failed = (int(node["data"].get(what + how, 0)) for how in ("Started", "Succeeded", "Failed"))
    return started - succeeded - failed


def _read(raw: bytes) -> Any:  # noqa: ANN401 -- it is JSON
    return json.loads(raw)
