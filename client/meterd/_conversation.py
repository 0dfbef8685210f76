"""A stream of the blocking client on which each message is answered by one."""

import queue
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from meterd._status import error_from
from meterd._timers import Later
from meterd.errors import DeadlineExceededError, UnavailableError
from meterd.v1 import reservation_pb2


class Conversation:
    """Asks, and waits for the answer; what fails ends it."""

    def __init__(self, rpc: Callable[..., Any], later: Later) -> None:
        self._later = later
        self._messages: queue.SimpleQueue[reservation_pb2.MeterRequest | None] = queue.SimpleQueue()
        self._call = rpc(iter(self._messages.get, None))
        self._answers: Iterator[reservation_pb2.MeterResponse] = iter(self._call)

    def ask(
        self, message: reservation_pb2.MeterRequest, timeout_seconds: float, request_id: str
    ) -> reservation_pb2.MeterResponse:
        """Send a message and return its answer; raise an `Error` when there is none."""
        timed_out = []

        def time_out() -> None:
            timed_out.append(True)
            self._call.cancel()

        timer = self._later(timeout_seconds, time_out)
        self._messages.put(message)
        try:
            return next(self._answers)
        except grpc.RpcError as rpc_error:
            if timed_out:
                raise DeadlineExceededError("no answer within the timeout", request_id=request_id) from rpc_error
            raise error_from(rpc_error, request_id) from rpc_error
        except StopIteration:
            raise UnavailableError("the daemon ended the session", request_id=request_id) from None
        finally:
            timer.cancel()

    def end(self) -> None:
        """Let the stream go, whatever is under way on it."""
        self._messages.put(None)
        self._call.cancel()
