"""Calls at a fixed rate, whether they are answered or not: what a caller does who does not know how the daemon fares."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prove import http2
from prove.http2 import END_HEADERS, Connection, frame, message, receive_any, request_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONNECTIONS = 16
STEP_SECONDS = 0.002
NOT_ANSWERED = -1


@dataclass
class Came:
    """What the calls of a run came to."""

    sent: int = 0
    seconds: float = 0.0
    ended: Counter[int] = field(default_factory=Counter)
    """By status; `NOT_ANSWERED` for those reset or without any."""
    without_delay: int = 0
    """Of those with RESOURCE_EXHAUSTED, how many did not say when to come again."""
    took_seconds: list[float] = field(default_factory=list)
    """Of those that were carried out."""

    @property
    def good_per_second(self) -> float:
        """How many were carried out a second."""
        return self.ended[0] / self.seconds


class Unblocked(Connection):
    """A connection that never waits: what the socket does not take goes later."""

    def __init__(self, address: str) -> None:
        self.out = bytearray()
        super().__init__(address)
        self.socket.setblocking(False)

    def send(self, raw: bytes) -> None:
        self.out += raw

    def flush(self) -> None:
        """Give the socket what it takes."""
        while self.out:
            try:
                sent = self.socket.send(self.out[: 1 << 16])
            except BlockingIOError:
                return
            del self.out[:sent]


class Caller(Unblocked):
    """One who sends calls, whatever becomes of them."""

    def __init__(self, address: str, came: Came) -> None:
        self.began: dict[int, float] = {}
        self._came = came
        super().__init__(address)

    def begin(self, headers: bytes, body: bytes) -> bool:
        """Send a call, if there is room for it on its way."""
        raw = message(body)
        if self._window < len(raw) or len(self.out) > 1 << 18:
            return False
        self.stream += 2
        self._window -= len(raw)
        self.out += frame(http2.HEADERS, END_HEADERS, self.stream, headers)
        self.out += http2.data_frames(self.stream, raw, end=True)
        self.began[self.stream] = time.perf_counter()
        return True

    def count(self) -> None:
        """Take what has ended to the others."""
        came = self._came
        for stream, answer in self.answers.items():
            began = self.began.pop(stream, None)
            if began is None:
                continue
            came.ended[NOT_ANSWERED if answer.status is None else answer.status] += 1
            if answer.status == 0:
                came.took_seconds.append(time.perf_counter() - began)
            elif answer.status == 8 and b"grpc-status-details-bin" not in answer.trailers:
                came.without_delay += 1
        self.answers.clear()


def run(
    address: str, path: str, bodies: Iterator[bytes], *, seconds: float, per_second: float | None = None,
    in_flight: int | None = None, timeout: str = "1S", each: Callable[[], None] = lambda: None,
) -> Came:  # fmt: skip
    """Send calls for so long, at a rate (open loop) or so many at a time (closed loop); then wait for what is still out."""
    came = Came()
    headers = request_headers(path, grpc_timeout=timeout)
    callers = [Caller(address, came) for _ in range(CONNECTIONS)]
    began = time.perf_counter()
    ends, last = began + seconds, began + seconds + 5
    next_look = 0.0
    number = 0
    while (now := time.perf_counter()) < last:
        out = sum(len(caller.began) for caller in callers)
        if now < ends:
            due = (in_flight - out) if in_flight else round((now - began) * (per_second or 0)) - came.sent
            for _ in range(min(due, 2_000)):
                number += 1
                came.sent += callers[number % CONNECTIONS].begin(headers, next(bodies)) or not in_flight
        elif not out:
            break
        for caller in callers:
            caller.flush()
        for caller in receive_any(callers, STEP_SECONDS):
            caller.count()
        if now > next_look:
            each()
            next_look = now + 0.1
    came.seconds = seconds
    for caller in callers:
        came.ended[NOT_ANSWERED] += len(caller.began)
        caller.socket.close()
    return came
