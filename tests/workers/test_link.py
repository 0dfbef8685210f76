"""Frames arrive whole and in order, however the bytes are cut, and each end learns when the other is gone."""

import asyncio
import socket

from hypothesis import given
from hypothesis import strategies as st

from meterd_server.workers.link import Link, ToLedger, ToWorker, encode

FRAMES = st.lists(
    st.tuples(st.sampled_from([*ToLedger, *ToWorker]), st.integers(), st.binary() | st.lists(st.text(max_size=9))),
    max_size=6,
)


class End(Link):
    """A link that keeps what it is told."""

    def __init__(self):
        self.frames = asyncio.Queue()
        self.gone = asyncio.Event()
        super().__init__(self.frames.put_nowait, self.gone.set)


async def _pair():
    loop = asyncio.get_running_loop()
    sockets = socket.socketpair()
    return [(await loop.create_unix_connection(End, sock=each))[1] for each in sockets]


@given(FRAMES, st.lists(st.integers(1, 40)))
def test_any_cut(frames, lengths):
    """Bytes may come in any pieces: each frame is told once, whole, in order."""
    told = []
    link = Link(told.append, lambda: None)
    data = b"".join(map(encode, frames))
    for length in lengths:
        link.data_received(data[:length])
        data = data[length:]
    link.data_received(data)
    assert frames == told


async def test_both_ways():
    """What either end sends, the other is told."""
    here, there = await _pair()
    here.send((ToLedger.ACCOUNTS, 1, ["ada"] * 100_000))
    there.send((ToWorker.LEAVE,))
    assert (ToLedger.ACCOUNTS, 1, ["ada"] * 100_000) == await there.frames.get()
    assert (ToWorker.LEAVE,) == await here.frames.get()
    await here.close()
    await there.gone.wait()


async def test_closing_sends_what_is_left():
    """What was sent before closing arrives, however much it is; only the other end is told of the end."""
    here, there = await _pair()
    here.send((ToLedger.FAILED, "x" * 5_000_000))
    await here.close()
    assert (ToLedger.FAILED, "x" * 5_000_000) == await there.frames.get()
    await there.gone.wait()
    assert not here.gone.is_set()
    here.send((ToLedger.READY,))
    there.send((ToWorker.LEAVE,))
    await here.close()
