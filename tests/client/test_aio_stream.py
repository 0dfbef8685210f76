"""A stream that is over says why, also where gRPC first says INTERNAL of it because a message could not be written."""

import asyncio

import grpc
import grpc.aio
import pytest

from meterd import _aio_stream
from meterd._aio_stream import read, write

WORDLESS = (grpc.StatusCode.INTERNAL, "Internal error from Core")
GONE = (grpc.StatusCode.UNAVAILABLE, "the server is stopping")


def error(code, details):
    """Return what grpc.aio raises for a status."""
    metadata = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, metadata, metadata, details)


class Call:
    """A stream that reads what it is given, the last of it for ever, and cannot be written to."""

    def __init__(self, *outcomes, write_error=None):
        self._outcomes = [*outcomes]
        self._write_error = write_error

    async def write(self, message):
        raise self._write_error

    async def read(self):
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.mark.parametrize("write_error", [asyncio.InvalidStateError(), error(*WORDLESS)])
async def test_writing_to_a_stream_that_is_over(write_error):
    """It is not the writer's to say why."""
    assert not await write(Call("read", write_error=write_error), "message")


@pytest.mark.parametrize("message", ["message", grpc.aio.EOF])
async def test_what_is_read_is_returned(message):
    """A message, or the end."""
    assert message is await read(Call(message))


@pytest.mark.parametrize("status", [GONE, (grpc.StatusCode.INTERNAL, "internal error; the server's log has the cause")])
@pytest.mark.parametrize("before", [0, 1, 5])
async def test_the_status_of_the_server_is_raised(status, before):
    """Whenever it comes."""
    with pytest.raises(grpc.RpcError) as raised:
        await read(Call(*[error(*WORDLESS)] * before, error(*status)))
    assert status == (raised.value.code(), raised.value.details())


async def test_a_stream_without_a_status(monkeypatch):
    """A stream that broke, and of which nothing more is heard, is an EOFError."""
    monkeypatch.setattr(_aio_stream, "_STATUS_SECONDS_MAX", 0.01)
    with pytest.raises(EOFError):
        await read(Call(error(*WORDLESS)))
