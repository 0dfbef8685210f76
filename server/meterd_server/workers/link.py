"""The way between a worker and the ledger's process: `marshal`led tuples, each after its length.

Both ends are one program run by one Python, and the way between them is a socket pair that nobody else can reach: only so may it
be `marshal`, which promises nothing between versions and must not be fed by strangers. It takes a command there and its outcome
back in about a microsecond, all four steps together; the same as protobuf messages takes ten.
"""

from __future__ import annotations

import asyncio
import marshal
import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

Frame = tuple[Any, ...]
"""Its kind, a `ToWorker` or `ToLedger`, and what belongs to that."""

BEAT_SECONDS = 1.0
"""How often a worker says that it is there."""

_LENGTH = struct.Struct("=I")
# The newer ones look for repeated objects, which takes longer than writing them again.
_MARSHAL_VERSION = 2


class ToWorker(IntEnum):
    """What the ledger's process says."""

    SETTINGS = 1
    """(settings as a dict): the first frame."""
    HEALTH = 2
    """(serving)."""
    LEAVE = 3
    """(): take no more calls, finish those under way, end."""
    ANSWER = 4
    """(number, error or None, what was asked for)."""
    DRIFT = 5
    """(found): whether an account was found that does not follow from its entries."""


class ToLedger(IntEnum):
    """What a worker says."""

    READY = 1
    """(): calls are answered."""
    FAILED = 2
    """(why the worker cannot serve)."""
    COMMIT = 3
    """(number, packed commands)."""
    ACCOUNTS = 4
    """(number, user ids)."""
    ENTRIES = 5
    """(number, user id, arguments of `Ledger.entries`)."""
    CARDS = 6
    """(number): every rate card, as JSON."""
    CARD_COUNT = 7
    """(number)."""
    ADD_CARDS = 8
    """(number, cards as JSON)."""
    USERS = 9
    """(number, user id to come after or None, how many)."""
    BEAT = 10
    """(): I am not hung; every `BEAT_SECONDS` from READY on."""


def encode(frame: Frame) -> bytes:
    """A frame as it goes over the wire."""
    data = marshal.dumps((int(frame[0]), *frame[1:]), _MARSHAL_VERSION)
    return _LENGTH.pack(len(data)) + data


class Link(asyncio.Protocol):
    """One end of the way: tells `on_frame` what comes, and `on_end` when the other side is gone, unless it was closed here."""

    def __init__(self, on_frame: Callable[[Frame], None], on_end: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_end = on_end
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._closed: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        # By its methods it is one; uvloop's do not say so by their class.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        received = self._received
        received += data
        start = 0
        while len(received) - start >= _LENGTH.size:
            begin = start + _LENGTH.size
            end = begin + _LENGTH.unpack_from(received, start)[0]
            if end > len(received):
                break
            frame = marshal.loads(received[begin:end])  # noqa: S302 -- from our own other half, see above
            start = end
            self._on_frame(frame)
        del received[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._transport = None
        if self._closed:
            self._closed.set_result(None)
        else:
            self._on_end()

    def send(self, frame: Frame) -> None:
        """Send a frame, unless the other side is gone."""
        if self._transport:
            self._transport.write(encode(frame))

    async def close(self) -> None:
        """Send what is still to be sent, and no more."""
        if self._transport and self._closed is None:
            self._closed = asyncio.get_running_loop().create_future()
            self._transport.close()
            await self._closed
