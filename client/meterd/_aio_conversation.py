"""A stream of the asyncio client on which each message is answered by one."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc.aio

from meterd._aio_stream import read, write
from meterd._status import error_from
from meterd.errors import DeadlineExceededError, UnavailableError
from meterd.v1 import reservation_pb2


class AsyncConversation:
    """Asks, and waits for the answer; what fails ends it. `check_open` raises once the client is closed."""

    def __init__(self, rpc: Callable[..., Any], check_open: Callable[[], None]) -> None:
        self._check_open = check_open
        self._call = rpc()

    async def ask(
        self, message: reservation_pb2.MeterRequest, timeout_seconds: float, request_id: str
    ) -> reservation_pb2.MeterResponse:
        """Send a message and return its answer; raise an `Error` when there is none."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._exchange(message, request_id)
        except grpc.RpcError as rpc_error:
            raise error_from(rpc_error, request_id) from rpc_error
        except EOFError as error:
            raise UnavailableError(str(error), request_id=request_id) from error
        except TimeoutError:
            raise DeadlineExceededError("no answer within the timeout", request_id=request_id) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and not task.cancelling():
                self._check_open()  # closing the channel cancels its calls, but nobody cancelled this task
            raise

    def end(self) -> None:
        """Let the stream go, whatever is under way on it."""
        self._call.cancel()

    async def _exchange(self, message: reservation_pb2.MeterRequest, request_id: str) -> reservation_pb2.MeterResponse:
        await write(self._call, message)
        answer = await read(self._call)
        if isinstance(answer, reservation_pb2.MeterResponse):
            return answer
        raise UnavailableError("the daemon ended the session", request_id=request_id)
