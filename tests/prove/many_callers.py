"""Many callers, each with one call at a time, who do as they are told.

They keep to the server's limit of calls on a connection, and one who is told OVERLOADED comes again when it was said, and a little
later, as a client of meterd does.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.rpc import error_details_pb2, status_pb2

from prove import http2
from prove.http2 import ACK, END_HEADERS, END_STREAM, frame, message, receive_any, request_headers
from prove.open_loop import CONNECTIONS, NOT_ANSWERED, Unblocked

if TYPE_CHECKING:
    from collections.abc import Iterator

STEP_SECONDS = 0.001
BACKOFF_SECONDS = 0.05
RESOURCE_EXHAUSTED = 8
NO_DELAY = -1.0
TIMEOUT = "10S"


@dataclass
class Came:
    """What the calls of a run came to, those of its beginning not counted."""

    seconds: float
    ended: Counter[int] = field(default_factory=Counter)
    """By status; `NOT_ANSWERED` for those reset."""
    delays_seconds: Counter[float] = field(default_factory=Counter)
    """When those who were told OVERLOADED were to come again; `NO_DELAY` if that was not said."""
    took_seconds: list[float] = field(default_factory=list)
    """Of those that were carried out, from when they were sent."""

    @property
    def good_per_second(self) -> float:
        """How many were carried out a second."""
        return self.ended[0] / self.seconds

    @property
    def p99_seconds(self) -> float:
        """What one call in a hundred took at least."""
        return sorted(self.took_seconds)[len(self.took_seconds) * 99 // 100]


class _Channel(Unblocked):
    """A connection with the callers who wait for room on it."""

    def __init__(self, address: str) -> None:
        self.waiting: deque[int] = deque()
        self.began: dict[int, tuple[int, float]] = {}
        self._streams_max = 100
        super().__init__(address)

    def begin(self, headers: bytes, bodies: Iterator[bytes], now: float) -> None:
        """Send a call of each caller who waits, while there is room; and what the socket takes."""
        while self.waiting and len(self.began) < self._streams_max and self._window > http2.FIRST_WINDOW // 4:
            raw = message(next(bodies))
            self.stream += 2
            self._window -= len(raw)
            self.out += frame(http2.HEADERS, END_HEADERS, self.stream, headers)
            self.out += frame(http2.DATA, END_STREAM, self.stream, raw)
            self.began[self.stream] = (self.waiting.popleft(), now)
        self.flush()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == http2.SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                if int.from_bytes(payload[at : at + 2]) == http2.MAX_CONCURRENT_STREAMS:
                    self._streams_max = int.from_bytes(payload[at + 2 : at + 6])
        super()._take(kind, flags, stream, payload)


def run(
    address: str, path: str, bodies: Iterator[bytes], *, callers: int, seconds: float, warmup_seconds: float
) -> Came:
    """Have so many call, again and again, for so long after a warm-up."""
    came = Came(seconds)
    headers = request_headers(path, grpc_timeout=TIMEOUT)
    channels = [_Channel(address) for _ in range(CONNECTIONS)]
    counts_from = time.perf_counter() + warmup_seconds
    away = [(0.0, caller) for caller in range(callers)]
    refusals: Counter[int] = Counter()
    while (now := time.perf_counter()) < counts_from + seconds:
        while away and away[0][0] <= now:
            caller = heapq.heappop(away)[1]
            channels[caller % CONNECTIONS].waiting.append(caller)
        for channel in channels:
            channel.begin(headers, bodies, now)
        for channel in receive_any(channels, STEP_SECONDS):
            assert not channel.closed, "the daemon has hung up"
            now = time.perf_counter()
            for stream, answer in channel.answers.items():
                caller, began = channel.began.pop(stream)
                again = now + _pause(came if now >= counts_from else Came(0), answer, now - began, caller, refusals)
                heapq.heappush(away, (again, caller))
            channel.answers.clear()
    for channel in channels:
        channel.socket.close()
    return came


def _pause(came: Came, answer: http2.Answer, took_seconds: float, caller: int, refusals: Counter[int]) -> float:
    """Count an answer, and say how long its caller stays away."""
    came.ended[NOT_ANSWERED if answer.status is None else answer.status] += 1
    if answer.status == 0:
        came.took_seconds.append(took_seconds)
        refusals[caller] = 0
        return 0.0
    refusals[caller] += 1
    pause = random.random() * BACKOFF_SECONDS * 2 ** min(refusals[caller], 5)
    if answer.status == RESOURCE_EXHAUSTED:
        delay = retry_seconds(answer)
        came.delays_seconds[delay] += 1
        pause += max(delay, 0.0)
    return pause


def retry_seconds(answer: http2.Answer) -> float:
    """When to come again, as a refusal says; `NO_DELAY` if it does not."""
    raw = answer.trailers.get(b"grpc-status-details-bin", b"")
    for detail in status_pb2.Status.FromString(raw.removeprefix(b"\0")).details:
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            return retry.retry_delay.ToMilliseconds() / 1000
    return NO_DELAY
