"""The asyncio client's methods around work: sessions, and functions that have a price."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from meterd import _arguments, _session_state
from meterd._aio_opening import Opening
from meterd._aio_reservation_methods import AsyncReservationMethods
from meterd.aio_session import AsyncMeterSession, AsyncSessionHost

ParametersT = ParamSpec("ParametersT")
ReturnT = TypeVar("ReturnT")


class AsyncWorkMethods(AsyncReservationMethods):
    """Meters work while it runs, or as a whole."""

    def meter(
        self,
        user_id: str,
        slice_microcents: int,
        *,
        ttl_seconds: float | None = None,
        floor_microcents: int = 0,
        service: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Opening[AsyncMeterSession]:
        """Open a session for a cost that grows while the work runs, a slice of money at a time.

        `with client.meter("ada", slice_microcents=100_000) as session:` and then `session.report(cost)` for each piece of work. The
        daemon charges each report as it comes, refills the slice, or says to stop: `session.stopped`. What is held expires after
        `ttl_seconds` without a report, 1 to 86,400, by default 300. With a floor, a session that breaks costs at least
        `floor_microcents` in all. `request_id` becomes the id of the session's reservation; one that is still open is gone on with.
        `timeout_seconds` is for the opening and, unless they name their own, for each report.

        Raises InsufficientFundsError when there is nothing to hold, and what `reserve` raises.
        """
        session = AsyncMeterSession(
            self._session_host(),
            _session_state.opening(
                user_id,
                slice_microcents,
                ttl_seconds=ttl_seconds,
                floor_microcents=floor_microcents,
                service=service,
                labels=labels,
                request_id=request_id,
            ),
            timeout_seconds,
        )
        return Opening(session.opened())

    def costs(
        self,
        cost_microcents: int,
        *,
        user: Callable[..., str],
        service: str = "",
        labels: Mapping[str, str] | None = None,
        ttl_seconds: float | None = None,
        floor_microcents: int = 0,
    ) -> Callable[
        [Callable[ParametersT, Coroutine[Any, Any, ReturnT]]], Callable[ParametersT, Coroutine[Any, Any, ReturnT]]
    ]:
        """Decorate a function that costs the same at each call: reserved before, captured after, released if it raises.

        A Client decorates plain functions, an AsyncClient coroutine functions. `user` is called with the arguments of each call and
        says whose money it is: `@client.costs(2_000, user=lambda text, user_id: user_id, service="tts")`. Each call raises what
        `reserve` and `capture` raise. With `floor_microcents` a crash in the midst of the work is not free.

        Raises TypeError for a function of another kind, or a generator: it does its work when it is consumed.
        """
        cost = _arguments.integer("cost_microcents", cost_microcents)

        def decorate(
            function: Callable[ParametersT, Coroutine[Any, Any, ReturnT]],
        ) -> Callable[ParametersT, Coroutine[Any, Any, ReturnT]]:
            if not inspect.iscoroutinefunction(function):
                raise TypeError(f"costs is for coroutine functions only, and {function!r} is none")

            @wraps(function)
            async def metered(*args: ParametersT.args, **kwargs: ParametersT.kwargs) -> ReturnT:
                held = self.reserve(
                    user(*args, **kwargs),
                    cost,
                    ttl_seconds=ttl_seconds,
                    floor_microcents=floor_microcents,
                    service=service,
                    labels=labels,
                )
                async with held as hold:
                    result = await function(*args, **kwargs)
                    await hold.capture(cost)
                return result

            return metered

        return decorate

    @abstractmethod
    def _session_host(self) -> AsyncSessionHost: ...
