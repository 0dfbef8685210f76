"""What breaks the rules of HTTP/2, or of gRPC on it. Each attack opens a connection, and ends when the daemon has dealt with it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from prove import http2
from prove.http2 import END_HEADERS, END_STREAM, Connection, frame, literal, message, request_headers

if TYPE_CHECKING:
    from collections.abc import Callable

CHECK = "/meterd.v1.MeteringService/Check"
STREAM = "/meterd.v1.MeteringService/Stream"
ASKED_ONCE = (
    CHECK,
    "/meterd.v1.AdminService/SetAccountPolicy",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
)
ASKED_ON = (
    STREAM,
    "/meterd.v1.MeteringService/Meter",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
PATHS = ASKED_ONCE + ASKED_ON


def _heard(connection: Connection) -> None:
    assert connection.is_heard(), "the daemon neither answers a ping nor hangs up"


def _say(address: str, raw: bytes, **options: bytes) -> None:
    with Connection(address, **options) as connection:
        connection.send(raw)
        _heard(connection)


def _open(stream: int = 1, block: bytes = b"", flags: int = END_HEADERS) -> bytes:
    return frame(http2.HEADERS, flags, stream, block or request_headers(CHECK))


def bad_preface(dice: random.Random, address: str) -> None:
    """Another protocol, or noise, where the preface belongs."""
    hello = dice.choice((b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", dice.randbytes(64),
                         http2.PREFACE[:-1] + b"x" + b"\0" * 32, http2.PREFACE + dice.randbytes(64)))  # fmt: skip
    _say(address, b"", greeting=hello)


def bad_frame_size(dice: random.Random, address: str) -> None:
    """A frame that is larger than allowed, or of a size that its kind cannot have."""
    kind = dice.choice(
        (http2.SETTINGS, http2.PING, http2.WINDOW_UPDATE, http2.RST_STREAM, http2.PRIORITY, http2.GOAWAY)
    )
    raw = frame(kind, 0, dice.choice((0, 1)), dice.randbytes(dice.choice((1, 3, 7, 9))))
    _say(address, dice.choice((raw, frame(http2.DATA, 0, 1, length=2**24 - 1) + b"x" * 100_000)))


def random_frames(dice: random.Random, address: str) -> None:
    """Frames of any kind, on any stream, with anything in them."""
    raw = b"".join(
        frame(
            dice.randrange(12),
            dice.randrange(256),
            dice.choice((0, 1, 2, 3, 2**31 - 1)),
            dice.randbytes(dice.randrange(40)),
        )
        for _ in range(20)
    )
    _say(address, raw)


def headers_without_end(dice: random.Random, address: str) -> None:
    """Headers that never end, and something else in the midst of them."""
    raw = _open(flags=0) + dice.choice((b"", frame(http2.DATA, 0, 1, b"x"), frame(http2.CONTINUATION, END_HEADERS, 3)))
    _say(address, raw)


def continuation_flood(dice: random.Random, address: str) -> None:
    """Headers that go on for ever, a little at a time."""
    piece = dice.choice((b"", literal(b"x-a", b"y" * 100), literal(b"x-b", b"z" * 10_000)))
    with Connection(address) as connection:
        connection.send(_open(flags=0))
        for _ in range(500):
            connection.send(frame(http2.CONTINUATION, 0, 1, piece))
        connection.send(frame(http2.CONTINUATION, END_HEADERS, 1))
        _heard(connection)


def reset_flood(dice: random.Random, address: str) -> None:
    """Calls that are opened and reset at once: much work for who is asked, none for who asks."""
    path = dice.choice(PATHS)
    with Connection(address) as connection:
        for _ in range(200):
            stream = connection.call(path, message(b"\n\3ada"), end=False)
            connection.send(frame(http2.RST_STREAM, 0, stream, (8).to_bytes(4)))
        _heard(connection)


def flood_of_small_frames(dice: random.Random, address: str) -> None:
    """Frames that each ask for an answer, or for nothing, by the thousand."""
    one = dice.choice((http2.settings(s4=1), frame(http2.PING, 0, 0, b"12345678"), frame(http2.DATA, 0, 1),
                       frame(http2.PRIORITY, 0, 1, b"\0\0\0\3\20"), frame(http2.WINDOW_UPDATE, 0, 0, b"\0\0\0\1")))  # fmt: skip
    _say(address, _open() + one * 2_000)


def bad_windows(dice: random.Random, address: str) -> None:
    """Windows that overflow, are zero, or are not kept to."""
    _say(address, dice.choice((
        _open() + frame(http2.WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff") * 3,
        frame(http2.WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
        http2.settings(s4=2**32 - 1),
        http2.settings(s5=1, s6=0),
        _open(block=request_headers(dice.choice(ASKED_ON))) + frame(http2.DATA, 0, 1, b"\0\0\0\xff\xff" + b"x" * 16_000) * 300,
    )))  # fmt: skip


def bad_streams(dice: random.Random, address: str) -> None:
    """Streams with numbers that a caller may not use, or that are over."""
    _say(address, dice.choice((
        _open(2), _open(0), _open(5) + _open(3), _open(1) + _open(1), frame(http2.DATA, END_STREAM, 7, b"x"),
        frame(http2.RST_STREAM, 0, 99, b"\0\0\0\0"), frame(http2.PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2"),
        _open(1, flags=END_HEADERS | END_STREAM) + frame(http2.DATA, 0, 1, b"x"),
    )))  # fmt: skip


def bad_compression(dice: random.Random, address: str) -> None:
    """Headers that cannot be decompressed, or that grow when they are."""
    table = b"\x40\1a" + b"\x7f\xa1\x1f" + b"b" * 4_128
    _say(address, _open(block=dice.choice((
        b"\xff\xff\xff\xff\xff\xff", b"\x80", b"\xbf", b"\x3f\xff\xff\xff\x7f", b"\0\x83\xff\xff\xff\x01x",
        dice.randbytes(60), table + b"\xbe" * 10_000,
    ))))  # fmt: skip


def bad_headers(dice: random.Random, address: str) -> None:
    """A call that is none: no path, another method, another type, headers that may not be."""
    changes = dice.choice((
        {"path": None}, {"path": ""}, {"path": "no slash"}, {"path": "/"}, {"path": "/" + "x" * 6_000},
        {"method": "GET"}, {"method": None}, {"scheme": None}, {"authority": None}, {"te": None},
        {"content_type": "text/html"}, {"content_type": None}, {"content_type": "application/grpc+xml"},
        {"grpc_timeout": "x"}, {"grpc_timeout": "-1S"}, {"grpc_timeout": "0n"}, {"grpc_timeout": "99999999999H"},
        {"grpc_encoding": "nonsense"}, {"grpc_accept_encoding": "\x01"}, {"x_bin-bin": "%%%"}, {"Upper": "case"},
        {"connection": "close"}, {"host": "a\r\nb"}, {"grpc_status": "13"}, {"x": "\x00"},
    ))  # fmt: skip
    path = dice.choice(PATHS)
    with Connection(address) as connection:
        connection.call(path, message(b"\n\3ada"), headers=request_headers(**({"path": path} | changes)))
        _heard(connection)


def huge_metadata(dice: random.Random, address: str) -> None:
    """More metadata than anybody has use for."""
    size = dice.choice((8_000, 15_000))
    _say(address, _open(block=request_headers(CHECK) + literal(b"x-huge", b"y" * size)) * 1)


def bad_grpc_frames(dice: random.Random, address: str) -> None:
    """The frame of gRPC says what is not so: compressed, longer, shorter, larger than allowed, or nothing at all."""
    raw = b"\n\3ada"
    body = dice.choice((
        message(raw, compressed=1), message(raw, compressed=255), message(raw, length=2**32 - 1), message(raw, length=2),
        message(raw, length=50), message(raw) * 3, b"", b"\0", b"\0\0\0", message(b"") * 20, dice.randbytes(30),
    ))  # fmt: skip
    with Connection(address) as connection:
        connection.call(dice.choice(PATHS), body)
        _heard(connection)


KINDS: dict[str, Callable[[random.Random, str], None]] = {
    attack.__name__.replace("_", " "): attack
    for attack in (bad_preface, bad_frame_size, random_frames, headers_without_end, continuation_flood, reset_flood,
                   flood_of_small_frames, bad_windows, bad_streams, bad_compression, bad_headers, huge_metadata,
                   bad_grpc_frames)
}  # fmt: skip
