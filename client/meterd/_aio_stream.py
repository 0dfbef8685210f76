"""Writing to a stream of the asyncio client, and reading from it, until it is over, and then why."""

import asyncio
from contextlib import suppress
from typing import Any

import grpc.aio

_WORDLESS = "Internal error from Core"
"""What gRPC says of a stream to which it could not write, until it knows the status with which the stream ended."""

_STATUS_SECONDS_MAX = 0.5
_LOOK_SECONDS = 0.001


async def connected(call: Any) -> None:  # noqa: ANN401 -- grpc.aio's calls are Any
    """Wait until the stream is connected, or over: a message that is cancelled before is forgotten, and nobody knows."""
    with suppress(asyncio.InvalidStateError, grpc.RpcError):
        await call.wait_for_connection()


async def write(call: Any, message: Any) -> bool:  # noqa: ANN401 -- see connected
    """Send a message when flow control lets it; False when the stream is over: `read` says why.

    Whoever is cancelled meanwhile ends the stream: gRPC cannot take back a part of a message.
    """
    try:
        await call.write(message)
    except (asyncio.InvalidStateError, grpc.RpcError):
        return False
    except asyncio.CancelledError:
        call.cancel()
        raise
    return True


async def read(call: Any) -> Any:  # noqa: ANN401 -- a message of the call's, or grpc.aio.EOF
    """Return the next message, or grpc.aio.EOF at the end.

    Raises `grpc.RpcError`; EOFError if the stream broke, and nothing is known of why.
    """
    for _ in range(1 + round(_STATUS_SECONDS_MAX / _LOOK_SECONDS)):
        try:
            return await call.read()
        except grpc.RpcError as error:
            if not _is_wordless(error):
                raise
        await asyncio.sleep(_LOOK_SECONDS)  # nothing else tells when there is another status
    raise EOFError("the stream broke")


def _is_wordless(error: grpc.RpcError) -> bool:
    return error.code() is grpc.StatusCode.INTERNAL and error.details() == _WORDLESS
