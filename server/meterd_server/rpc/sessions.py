"""Metered sessions: a conversation in which use is charged as it grows, from money that is set aside a slice at a time.

A session is a reservation, so that whatever becomes of the stream, of the caller or of this server, the ledger knows how it ends.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc

from meterd.v1 import reservation_pb2
from meterd_server.errors import Overloaded, Reason, StoreUnavailable
from meterd_server.model import Applied, Expire, Extend, Rejection, Release, ReservationState
from meterd_server.rpc import encode, validate
from meterd_server.rpc.handlers import decoded, send
from meterd_server.rpc.status import RequestError, Violation, applied, from_rejection, invalid_argument
from meterd_server.rules.reservations import expiry_request_id

if TYPE_CHECKING:
    from meterd_server.ledger import AnyLedger
    from meterd_server.model import Account, Outcome, Reservation, Reserve
    from meterd_server.rpc.streams import StreamContext

log = logging.getLogger(__name__)

_SETTLE_PAUSES_SECONDS = (0.1, 0.3, 1.0, 3.0)
"""Between tries to settle while the store does not answer; then the reservation's own expiry does it."""


class Sessions:
    """The sessions that are open. Of each one message is worked on at a time, and the next not read before it is answered."""

    def __init__(self, ledger: AnyLedger, sources: validate.Sources) -> None:
        self._ledger = ledger
        self._sources = sources
        self._readings: set[asyncio.Task[object]] = set()
        self._settling: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Event()

    async def conduct(self, context: StreamContext) -> None:
        """Answer the messages of a session until it is closed.

        A stream that breaks, or says what it may not, ends its session as the expiry would, at once. Raises what `Session.take`
        raises, and `StoreUnavailable` after `leave`. After that and `Overloaded` the session stays open: its caller may go on
        with it, here or elsewhere, and if it does not, the expiry comes.
        """
        session = Session(self._ledger, self._sources)
        work: asyncio.Task[reservation_pb2.MeterResponse] | None = None
        try:
            while True:
                message = await self._read(context)
                # Whoever cancels the call, what was begun is carried through, and what came of it is known.
                work = asyncio.ensure_future(session.take(message))
                answer = await asyncio.shield(work)
                await send(context, answer)
                if answer.HasField("closed"):
                    return
        except (StoreUnavailable, Overloaded):
            raise
        except RequestError:
            await asyncio.shield(self._settle(session, work))
            raise
        except BaseException:
            self._settle(session, work)
            raise

    async def leave(self) -> None:
        """Read no more of any session, now or later, and wait until those that broke are settled."""
        self._leaving.set()
        for reading in self._readings:
            reading.cancel()
        while self._settling:
            await asyncio.wait(self._settling)

    async def _read(self, context: StreamContext) -> reservation_pb2.MeterRequest:
        if self._leaving.is_set():
            raise StoreUnavailable("the server is stopping")
        reading = asyncio.ensure_future(context.read())
        self._readings.add(reading)
        try:
            await asyncio.wait([reading])
        finally:
            self._readings.discard(reading)
            reading.cancel()
        if reading.cancelled():
            raise StoreUnavailable("the server is stopping")
        message: Any = reading.result()
        if message is grpc.aio.EOF:
            raise _out_of_turn("close is missing: the caller ended the stream without it")
        request: reservation_pb2.MeterRequest = decoded(message)
        return request

    def _settle(self, session: Session, work: asyncio.Task[reservation_pb2.MeterResponse] | None) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._end(session, work), name="settling a session")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        return task

    async def _end(self, session: Session, work: asyncio.Task[reservation_pb2.MeterResponse] | None) -> None:
        if work:
            with suppress(Exception, asyncio.CancelledError):
                await work
        for pause_seconds in _SETTLE_PAUSES_SECONDS:
            try:
                await session.end()
            except (StoreUnavailable, Overloaded):
                if self._leaving.is_set():
                    break
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._leaving.wait(), pause_seconds)
            else:
                return
        log.warning("a session that broke could not be settled; its reservation will expire")


class Session:
    """One session: `take` each message in turn; `end` it when it broke."""

    def __init__(self, ledger: AnyLedger, sources: validate.Sources) -> None:
        self._ledger = ledger
        self._sources = sources
        self._opened: Reserve | None = None
        self._reservation: Reservation | None = None
        self._account: Account | None = None

    async def take(self, request: reservation_pb2.MeterRequest) -> reservation_pb2.MeterResponse:
        """Carry out one message. Raises `RequestError` for what is bad, refused or out of turn, and what a ledger raises."""
        kind = request.WhichOneof("message")
        if kind is None:
            raise _out_of_turn("is missing, or of a kind that is not known here")
        if kind == "open" and self._opened is None:
            return await self._open(validate.meter_open(request.open, self._sources))
        if kind == "open" or self._opened is None:
            raise _out_of_turn(f"{kind} is out of turn: open begins a session, once")
        if kind == "close":
            return await self._close(self._opened)
        return await self._report(request.report, self._opened)

    async def end(self) -> None:
        """Do now what the reservation's expiry would do later, unless it is over, or somebody else has gone on with it.

        Raises what a ledger raises.
        """
        reservation = self._reservation
        if self._opened is None or reservation is None or reservation.state is not ReservationState.OPEN:
            return
        await self._ledger.submit(
            Expire(
                self._opened.user_id,
                expiry_request_id(reservation.version),
                reservation.reservation_id,
                at_once_if_expires_us=reservation.expire_time_us,
            )
        )

    async def _open(self, opened: Reserve) -> reservation_pb2.MeterResponse:
        reserved = applied(await self._ledger.submit(opened))
        self._opened = opened
        self._note(reserved)
        if not reserved.replayed:
            return self._answer("")
        # What its entry says of the reservation is how it began.
        refilled = await self._ledger.submit(self._refill(opened))
        if isinstance(refilled, Rejection) and refilled.reason is Reason.RESERVATION_CLOSED:
            self._note(refilled)
            raise RequestError(from_rejection(refilled))
        return self._answer(self._note(refilled))

    async def _report(self, report: reservation_pb2.MeterReport, opened: Reserve) -> reservation_pb2.MeterResponse:
        capture = validate.meter_report(report, opened, self._sources)
        # In one piece: what is left of the slice is not refilled from what somebody else is about to be given.
        captured, refilled = await self._ledger.submit_all([capture, self._refill(opened)])
        if not isinstance(captured, Rejection):
            self._note(captured)
        reason = self._note(refilled)
        applied(captured)
        return self._answer(reason)

    async def _close(self, opened: Reserve) -> reservation_pb2.MeterResponse:
        release = Release(opened.user_id, self._sources.make_request_id(), opened.request_id, request_id_is_new=True)
        if self._note(await self._ledger.submit(release)):
            self._account = await self._ledger.account(opened.user_id)
        response = reservation_pb2.MeterResponse()
        self._fill(response.closed)
        return response

    def _refill(self, opened: Reserve) -> Extend:
        """The slice is made whole and begins anew; a new request id each time, for it is the present that counts."""
        return Extend(
            opened.user_id,
            self._sources.make_request_id(),
            opened.request_id,
            opened.ttl_us,
            request_id_is_new=True,
            fill_to_microcents=opened.amount_microcents,
        )

    def _note(self, outcome: Outcome) -> str:
        """Take in what an outcome says of the reservation and the account; the reason if it was turned down, else ""."""
        if isinstance(outcome, Applied):
            self._account = outcome.account
            found = outcome.entry.more.reservation if outcome.entry.more else None
            if found and not (outcome.replayed and self._reservation):
                self._reservation = found
            return ""
        if not isinstance(outcome, Rejection):
            raise TypeError("a change was answered as a Check is")
        if outcome.reason is Reason.RESERVATION_CLOSED and self._reservation:
            state = ReservationState[str(outcome.details["state"])]
            self._reservation = self._reservation._replace(state=state, held_microcents=0)
        return outcome.reason

    def _answer(self, reason: str) -> reservation_pb2.MeterResponse:
        """What is held for the next report; STOP for a reason, or when it is nothing or must not be used."""
        held = self._reservation.held_microcents if self._reservation else 0
        if not reason and self._account and self._account.policy.frozen:
            reason = Reason.ACCOUNT_FROZEN
        elif not reason and not held:
            reason = Reason.INSUFFICIENT_FUNDS
        response = reservation_pb2.MeterResponse()
        if reason:
            response.stop.reason = reason
        message = response.stop if reason else response.granted
        message.granted_microcents = held
        self._fill(message)
        return response

    def _fill(
        self, message: reservation_pb2.MeterGranted | reservation_pb2.MeterStop | reservation_pb2.MeterClosed
    ) -> None:
        if self._reservation and self._account:
            encode.fill_reservation(message.reservation, self._reservation)
            encode.fill_balance(message.balance, self._account)


def _out_of_turn(problem: str) -> RequestError:
    return RequestError(invalid_argument([Violation("message", problem)]))
