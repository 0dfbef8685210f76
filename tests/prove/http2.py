"""HTTP/2 by hand: a client that says exactly the bytes it is told to, right or wrong, and understands the answers.

It asks the server to compress no headers with a table of its own, so that reading them needs no state; and it gives the server room
for everything, unless it is told not to (`window=0`), so that it never has to say that it has read.
"""

from __future__ import annotations

import select
import socket
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
CANCEL = 8
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 1, 4
MAX_CONCURRENT_STREAMS = 3
TRUE_BINARY = 0xFE03
"""gRPC's own: values of `-bin` headers come as they are, after a zero byte."""
WINDOW_MAX = 2**31 - 1
FIRST_WINDOW = 65_535

_PING = b"are you?"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """A frame; `length` lies about the payload's."""
    size = len(payload) if length is None else length
    return size.to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def data_frames(stream: int, body: bytes, *, end: bool) -> bytes:
    """A body in frames of the size that everybody takes."""
    pieces = [body[at : at + 16_384] for at in range(0, len(body), 16_384)] or [b""]
    flags = [0] * (len(pieces) - 1) + [END_STREAM if end else 0]
    return b"".join(frame(DATA, flag, stream, piece) for flag, piece in zip(flags, pieces, strict=True))


def settings(**values: int) -> bytes:
    """A SETTINGS frame; the names are `s1`, `s4` and so on, for what has the number 1, 4."""
    return frame(SETTINGS, 0, 0, b"".join(int(k[1:]).to_bytes(2) + v.to_bytes(4) for k, v in values.items()))


def literal(name: bytes, value: bytes) -> bytes:
    """A header that is put into no table."""
    return b"\0" + _string(name) + _string(value)


def _string(raw: bytes) -> bytes:
    if len(raw) < 127:
        return bytes([len(raw)]) + raw
    left, encoded = len(raw) - 127, b"\x7f"
    while left >= 128:
        encoded += bytes([left % 128 + 128])
        left //= 128
    return encoded + bytes([left]) + raw


def request_headers(path: str, **changes: str | None) -> bytes:
    """The headers of a gRPC call; changes by name ('-' written '_', a pseudo-header without its colon), None: without it."""
    values: dict[str, str | None] = {
        ":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost",
        "content-type": "application/grpc", "te": "trailers",
    }  # fmt: skip
    for name, value in changes.items():
        pseudo = f":{name}"
        values[pseudo if pseudo in values else name.replace("_", "-")] = value
    return b"".join(literal(name.encode(), value.encode()) for name, value in values.items() if value is not None)


def message(raw: bytes, *, compressed: int = 0, length: int | None = None) -> bytes:
    """A gRPC message in its frame; `length` lies."""
    return bytes([compressed]) + (len(raw) if length is None else length).to_bytes(4) + raw


def read_headers(block: bytes) -> dict[bytes, bytes]:
    """The headers that are written out in a block; those that are only a number are left out."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(block):
        first = block[at]
        if first & 0x80:
            _, at = _integer(block, at, 7)
        elif first & 0xE0 == 0x20:
            _, at = _integer(block, at, 5)
        else:
            index, at = _integer(block, at, 6 if first & 0x40 else 4)
            name = b""
            if not index:
                name, at = _read_string(block, at)
            value, at = _read_string(block, at)
            found[name] = value
    return found


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    most = 2**bits - 1
    value, at, shift = block[at] & most, at + 1, 0
    if value == most:
        while True:
            value += (block[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if not block[at - 1] & 128:
                break
    return value, at


def _read_string(block: bytes, at: int) -> tuple[bytes, int]:
    size, at = _integer(block, at, 7)
    return block[at : at + size], at + size


class Answer(NamedTuple):
    """How a call ended: the status and what was said with it, or None and the code of the reset."""

    status: int | None
    message: str
    reset: int | None = None
    trailers: Mapping[bytes, bytes] = MappingProxyType({})


class Connection:
    """A connection to HOST:PORT. `answers` holds, by stream, how each call ended that has ended."""

    def __init__(self, address: str, *, window: int = WINDOW_MAX, greeting: bytes | None = None) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers: dict[int, Answer] = {}
        self.closed = False
        self.pongs = 0
        self.stream = -1
        self._window = FIRST_WINDOW
        self._received = bytearray()
        self._once: set[int] = set()
        hello = PREFACE + settings(s1=0, s4=window, **{f"s{TRUE_BINARY}": 1})
        if window:
            hello += frame(WINDOW_UPDATE, 0, 0, (WINDOW_MAX - FIRST_WINDOW).to_bytes(4))
        self.send(hello if greeting is None else greeting)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, raw: bytes) -> None:
        """Say these bytes. That the other end has hung up is known from `closed`."""
        try:
            self.socket.sendall(raw)
        except OSError:
            self.closed = True

    def call(
        self, path: str, body: bytes, *, end: bool = True, headers: bytes | None = None, once: bool = False
    ) -> int:
        """Begin a call with all of its body, when the connection's window lets it; the number of its stream.

        A call that is to be answered `once` is hung up on when the first message comes.
        """
        self.stream += 2
        stream = self.stream
        if once:
            self._once.add(stream)
        while self._window < len(body) and not self.closed:
            assert self.receive(5), "the server takes no more"
        self._window -= len(body)
        block = request_headers(path) if headers is None else headers
        self.send(frame(HEADERS, END_HEADERS, stream, block) + data_frames(stream, body, end=end))
        return stream

    def receive(self, seconds: float) -> bool:
        """Take in what has come, waiting at most so long for the first of it; whether anything did."""
        if self.closed or not select.select([self.socket], [], [], seconds)[0]:
            return False
        try:
            raw = self.socket.recv(1 << 18)
        except OSError:
            raw = b""
        self.closed = not raw
        self._received += raw
        self._read_frames()
        return True

    def wait(self, streams: int, seconds: float = 10) -> None:
        """Take in until so many calls have ended, or the connection has."""
        ends = time.monotonic() + seconds
        while len(self.answers) < streams and not self.closed:
            left = ends - time.monotonic()
            assert left > 0, f"{len(self.answers)} of {streams} calls have ended within {seconds} s"
            self.receive(left)

    def is_heard(self, seconds: float = 5) -> bool:
        """Whether the server has dealt with all that was said: it answers a ping, or hangs up; False if it does neither."""
        before, ends = self.pongs, time.monotonic() + seconds
        self.send(frame(PING, 0, 0, _PING))
        while not self.closed and self.pongs == before:
            if not self.receive(max(0, ends - time.monotonic())) and time.monotonic() >= ends:
                return False
        return True

    def _read_frames(self) -> None:
        received, at = self._received, 0
        while len(received) - at >= 9:
            size = int.from_bytes(received[at : at + 3])
            end = at + 9 + size
            if len(received) < end:
                break
            kind, flags = received[at + 3], received[at + 4]
            stream = int.from_bytes(received[at + 5 : at + 9]) & WINDOW_MAX
            self._take(kind, flags, stream, bytes(received[at + 9 : end]))
            at = end
        del received[:at]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS and flags & END_STREAM:
            trailers = read_headers(payload)
            status = int(trailers.get(b"grpc-status", b"-1"))
            self.answers[stream] = Answer(
                status, trailers.get(b"grpc-message", b"").decode(errors="backslashreplace"), None, trailers
            )
        elif kind == DATA and stream in self._once:
            self._once.remove(stream)
            self.send(frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4)))
            self.answers[stream] = Answer(None, "", CANCEL)
        elif kind == RST_STREAM:
            self.answers.setdefault(stream, Answer(None, "", int.from_bytes(payload)))
        elif kind == WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload)
        elif kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING:
            if flags & ACK:
                self.pongs += 1
            else:
                self.send(frame(PING, ACK, 0, payload))


ConnectionT = TypeVar("ConnectionT", bound=Connection)


def receive_any(connections: Sequence[ConnectionT], seconds: float) -> Iterator[ConnectionT]:
    """Take in what has come on any of them, waiting at most so long for the first of it: those where anything had."""
    by_socket = {connection.socket: connection for connection in connections if not connection.closed}
    for ready in select.select([*by_socket], [], [], seconds)[0]:
        by_socket[ready].receive(0)
        yield by_socket[ready]
