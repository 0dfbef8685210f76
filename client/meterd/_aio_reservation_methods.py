"""The asyncio client's methods for reservations."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime

from meterd import _reservation_calls
from meterd._aio_opening import Opening
from meterd._base import BaseClient
from meterd._calls import Call, ResultT
from meterd._pricing_calls import usage
from meterd._timers import Cancellable
from meterd.aio_hold import AsyncHold
from meterd.types import Recorded


class AsyncReservationMethods(BaseClient):
    """Holds money before the cost is known, and charges it once it is."""

    def reserve(
        self,
        user_id: str,
        amount_microcents: int,
        *,
        ttl_seconds: float | None = None,
        floor_microcents: int = 0,
        allow_partial: bool = False,
        service: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Opening[AsyncHold]:
        """Hold money before the cost is known, so that no other call can spend it.

        `with client.reserve("ada", 5_000_000) as hold:` does the work, and then `hold.capture(cost)`. The reservation ends once: by
        its final capture, its release, or its expiry after `ttl_seconds`, 1 to 86,400, by default 300; a block extends it while it
        runs. With a floor, what is missing to `floor_microcents` is charged at the expiry, so that a crash after the work is not
        free. With `allow_partial` it holds what there is, if that is anything: `hold.reservation.amount_microcents`. `request_id`
        becomes the reservation's id. `service` and `labels` are for reports, and the captures are recorded under that service.

        Raises InsufficientFundsError, AccountFrozenError, TtlOutOfRangeError or FloorOverAmountError, nothing being changed; else
        what `record_cost` raises.
        """
        call = _reservation_calls.reserve(
            user_id,
            amount_microcents,
            ttl_seconds=ttl_seconds,
            floor_microcents=floor_microcents,
            allow_partial=allow_partial,
            service=service,
            labels=labels,
            request_id=request_id,
        )
        return Opening(self._hold(user_id, call, timeout_seconds))

    def reserve_usage(
        self,
        user_id: str,
        service: str,
        *,
        model: str = "",
        quantities: Mapping[str, int] | None = None,
        ttl_seconds: float | None = None,
        floor_microcents: int = 0,
        allow_partial: bool = False,
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout_seconds: float | None = None,
        **meters: int,
    ) -> Opening[AsyncHold]:
        """Hold what a usage will cost at most, priced as it is now. Meters are as in `record_usage`, all else is as in `reserve`.

        Raises UnknownRateError for what has no price.
        """
        call = _reservation_calls.reserve(
            user_id,
            usage(service, model, quantities, meters),
            ttl_seconds=ttl_seconds,
            floor_microcents=floor_microcents,
            allow_partial=allow_partial,
            service="",
            labels=labels,
            request_id=request_id,
        )
        return Opening(self._hold(user_id, call, timeout_seconds))

    async def capture(
        self,
        user_id: str,
        reservation_id: str,
        cost_microcents: int,
        *,
        final: bool = True,
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        occur_time: datetime | None = None,
        timeout_seconds: float | None = None,
    ) -> Recorded:
        """Charge what the reserved work did cost, 0 to 10^15 microcents, exactly once per `request_id`.

        It ends the reservation, and what is still held is available again; with `final=False` the reservation goes on holding the
        rest. The cost is real, so it is recorded when it is more than what was held (`entry.overrun`), and after the expiry as well
        (`entry.late`), charged without what the expiry charged in its place. All else is as in `record_cost`.

        Raises ReservationNotFoundError, ReservationClosedError after a release or a final capture, and what `record_cost` raises.
        """
        call = _reservation_calls.capture(
            user_id,
            reservation_id,
            cost_microcents,
            final=final,
            labels=labels,
            request_id=request_id,
            occur_time=occur_time,
        )
        return await self._run(call, timeout_seconds)

    async def capture_usage(
        self,
        user_id: str,
        reservation_id: str,
        service: str,
        *,
        model: str = "",
        quantities: Mapping[str, int] | None = None,
        final: bool = True,
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        occur_time: datetime | None = None,
        timeout_seconds: float | None = None,
        **meters: int,
    ) -> Recorded:
        """Charge what was used, as `capture`; the rate card says what it costs. Meters are as in `record_usage`.

        Raises UnknownRateError for what has no price.
        """
        call = _reservation_calls.capture(
            user_id,
            reservation_id,
            usage(service, model, quantities, meters),
            final=final,
            labels=labels,
            request_id=request_id,
            occur_time=occur_time,
        )
        return await self._run(call, timeout_seconds)

    async def release(
        self,
        user_id: str,
        reservation_id: str,
        *,
        request_id: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Recorded:
        """End a reservation: what is still held is available again. Exactly once per `request_id`.

        Raises ReservationNotFoundError, or ReservationClosedError when it is over.
        """
        call = _reservation_calls.release(user_id, reservation_id, request_id=request_id)
        return await self._run(call, timeout_seconds)

    async def extend(
        self,
        user_id: str,
        reservation_id: str,
        *,
        ttl_seconds: float | None = None,
        add_microcents: int = 0,
        request_id: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Recorded:
        """Keep an open reservation for `ttl_seconds` from now on, 1 to 86,400, hold `add_microcents` more, or both.

        Raises ReservationNotFoundError, ReservationClosedError when it is over, TtlOutOfRangeError, and for more to hold
        InsufficientFundsError or AccountFrozenError; nothing is changed then.
        """
        call = _reservation_calls.extend(
            user_id,
            reservation_id,
            ttl_seconds=ttl_seconds,
            add_microcents=add_microcents,
            request_id=request_id,
        )
        return await self._run(call, timeout_seconds)

    async def _hold(self, user_id: str, call: Call[Recorded], timeout_seconds: float | None) -> AsyncHold:
        return AsyncHold(self._run, self._later, user_id, await self._run(call, timeout_seconds))

    @abstractmethod
    async def _run(self, call: Call[ResultT], timeout_seconds: float | None) -> ResultT: ...

    @abstractmethod
    def _later(self, seconds: float, callback: Callable[[], object]) -> Cancellable: ...
