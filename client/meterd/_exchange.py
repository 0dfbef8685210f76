"""How the blocking client's calls get their answers: alone, or in a batch with what other threads ask for.

There is no thread behind this: of the callers in a batch, the one who can wait longest leads. It sends the batch, appoints
the leader of the next one, and tells the others. So the timeout of the call is the leader's own, and nobody waits beyond theirs.
"""

import threading
import time
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import grpc
from google.protobuf.message import Message

from meterd import _calls, _gathering
from meterd._calls import Call, Stubs
from meterd._gathering import Asking, Gathering, Outcome, Signal
from meterd._retry import Attempts
from meterd._status import error_from
from meterd.v1 import metering_pb2


class _Thread(Asking):
    """A thread that waits for its operation's outcome."""

    __slots__ = ("_woken", "outcome")

    def __init__(self, call: Call[Any], operation: metering_pb2.Operation | bytes, deadline: float) -> None:
        super().__init__(call, operation, deadline)
        self.outcome: Outcome | None = None
        self._woken = threading.Lock()  # the lightest thing to wait for: held until there is news
        self._woken.acquire()

    def tell(self, outcome: Outcome) -> None:
        if self.outcome is None:
            self.outcome = outcome
            self._wake()

    def lead(self, batch: list[Any]) -> None:
        """Let the thread send a batch that it is in."""
        self.leads = batch
        self._wake()

    def wait(self) -> None:
        """Wait until the thread is told something or leads, or until its deadline."""
        self._woken.acquire(timeout=min(max(0.0, self.deadline - time.monotonic()), threading.TIMEOUT_MAX))

    def _wake(self) -> None:
        if self._woken.locked():  # a leader is told its own outcome when it has long been awake
            self._woken.release()


class BlockingExchange:
    """Sends the calls of all threads over one channel; those of several threads together, unless told not to.

    `check_open` raises once the client is closed.
    """

    def __init__(self, stubs: Stubs, check_open: Callable[[], None], *, coalesce: bool) -> None:
        self._stubs = stubs
        self._check_open = check_open
        self._lock = threading.Lock()
        self._gathering: Gathering[_Thread] = Gathering()
        self._gathering.batches = coalesce

    def send(self, call: Call[Any], attempts: Attempts) -> Message | bytes:
        """Make one attempt of a call and return the answer; raise an `Error`, or RuntimeError if closed meanwhile."""
        if call.operation is None or not self._gathering.batches:
            return self._send_alone(call, attempts)
        thread = _Thread(call, call.operation, attempts.deadline)
        try:
            with self._lock:
                self._gathering.add(thread)
                self._appoint()
            thread.wait()
            if thread.leads is not None:
                self._lead(thread, thread.leads, attempts)
        finally:
            # However this ends, with KeyboardInterrupt too, nobody goes on waiting for a thread that is gone.
            _gathering.interrupted(self._make_way(thread))
        if thread.outcome is Signal.ALONE:
            return self._send_alone(call, attempts)
        return _gathering.answer_from(thread, thread.outcome)

    def meter_rpc(self) -> Callable[..., Any]:
        """Return what opens the stream of a metered session."""
        return _calls.METER(self._stubs)

    def close(self) -> None:
        """Let nobody wait any more. `check_open` has to raise by now."""
        with self._lock:
            self._gathering.close()

    def _send_alone(self, call: Call[Any], attempts: Attempts) -> Message:
        try:
            response: Message = call.rpc(self._stubs)(call.message(), timeout=attempts.remaining_seconds())
        except grpc.RpcError as rpc_error:
            raise error_from(rpc_error, call.request_id) from rpc_error
        except ValueError:
            self._check_open()  # gRPC's answer when another thread closed the channel just now
            raise
        return response

    def _lead(self, thread: _Thread, batch: list[_Thread], attempts: Attempts) -> None:
        """Send the batch that a thread leads, and tell everyone in it what became of it."""
        if len(batch) == 1:
            try:
                thread.tell(self._send_alone(thread.call, attempts))
            finally:
                self._make_way(thread)
            return
        try:
            request = _gathering.request_from(batch)
            response = _calls.BATCH(self._stubs)(request, timeout=_gathering.remaining_seconds(batch))
            self._make_way(thread)  # first of all, so that the daemon has the next batch while this one is read
            _gathering.answered(batch, response)
        except grpc.RpcError as rpc_error:
            self._make_way(thread)
            self._gathering.refused(batch, rpc_error)
        except BaseException as error:
            _gathering.interrupted(batch)
            if isinstance(error, ValueError):
                self._check_open()
            raise

    def _make_way(self, thread: _Thread) -> list[_Thread]:
        """Forget a thread and appoint the next leaders; return the batch that it led, if it still did."""
        with self._lock:
            led: list[_Thread] = thread.leads or []
            self._gathering.leave(thread)
            self._appoint()
        return led

    def _appoint(self) -> None:
        """Let the next batches be sent, each by the one in it who can wait longest. The lock is held."""
        while batch := self._gathering.take():
            leader = max(batch, key=_deadline)
            leader.lead(batch)


_deadline: Callable[[_Thread], float] = attrgetter("deadline")
