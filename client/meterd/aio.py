"""The asyncio client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Self

import grpc.aio

from meterd import _calls
from meterd._aio_admin_methods import AsyncAdminMethods
from meterd._aio_conversation import AsyncConversation
from meterd._aio_exchange import AsyncExchange
from meterd._aio_usage_methods import AsyncUsageMethods
from meterd._aio_work_methods import AsyncWorkMethods
from meterd._base import DEFAULT_ADDRESS
from meterd._calls import Call, ResultT, Stubs
from meterd._retry import DEFAULT_RETRY, RetryPolicy
from meterd._timers import Cancellable
from meterd.aio_session import AsyncSessionHost
from meterd.errors import Error
from meterd.types import Balance, CheckResult, Entry, EntryPage, Recorded


class AsyncClient(AsyncUsageMethods, AsyncWorkMethods, AsyncAdminMethods):
    """Asks and tells a meterd daemon from asyncio; one client may serve all tasks of one event loop.

    `address` is "host:port" or "unix:/path"; the connection is made by the first call, so a client may be made before
    the loop runs. `timeout_seconds` covers a call with all its retries, unless the call names its own.
    `channel_options` are gRPC's, and win over this client's.

    `coalesce` lets the calls of several tasks travel together: what is asked for while other calls are under way goes in one
    message with them when it is its turn. A caller alone never waits, and each gets an answer or error of its own.

    Use it as an async context manager or `close` it. A closed client, or one used from a second event loop, raises
    RuntimeError. What the daemon or the connection answers instead of a result is a `meterd.Error`; an argument that
    cannot be sent is a TypeError or ValueError. Cancelling a task cancels its call: whether a change was made is then
    unknown.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout_seconds: float = 10.0,
        retry: RetryPolicy = DEFAULT_RETRY,
        coalesce: bool = True,
        channel_options: Sequence[tuple[str, str | int]] = (),
    ) -> None:
        super().__init__(address, timeout_seconds, retry, channel_options)
        self._coalesce = coalesce
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel: grpc.aio.Channel | None = None
        self._exchange: AsyncExchange | None = None
        self._sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def check(
        self, user_id: str, minimum_microcents: int | None = None, *, timeout_seconds: float | None = None
    ) -> CheckResult:
        """Ask whether the user may afford `minimum_microcents` now; None asks for 100.

        It changes nothing and sets nothing aside. A denial is an answer, not an error; an unknown user has 0 available.
        It sees every change that was acknowledged before it was sent. To deduct only what is covered, use `record_cost`
        with `reject_overdraft`.
        """
        return await self._run(_calls.check(user_id, minimum_microcents), timeout_seconds)

    async def record_cost(
        self,
        user_id: str,
        cost_microcents: int,
        *,
        service: str = "",
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        reject_overdraft: bool = False,
        occur_time: datetime | None = None,
        timeout_seconds: float | None = None,
    ) -> Recorded:
        """Record what a use did cost, 0 to 10^15 microcents, exactly once per `request_id`.

        It is durable when this returns. The money is already spent, so it is recorded even below zero; with
        `reject_overdraft` it is recorded only if it is covered. `request_id` is 1-64 printable ASCII characters, unique
        per user for ever; None makes a new one, the same for every retry. `service` and `labels` (up to 16) are for
        reports. `occur_time` needs a time zone and is kept to the microsecond.

        Raises InsufficientFundsError (only with `reject_overdraft`; nothing is changed), RequestIdReusedError,
        InvalidArgumentError or AmountOutOfRangeError; OverloadedError, UnavailableError or DeadlineExceededError when
        retries did not help: call again with `request_id=error.request_id`.
        """
        call = _calls.record_cost(
            user_id,
            cost_microcents,
            service=service,
            labels=labels,
            request_id=request_id,
            reject_overdraft=reject_overdraft,
            occur_time=occur_time,
        )
        return await self._run(call, timeout_seconds)

    async def record_funding(
        self,
        user_id: str,
        amount_microcents: int,
        *,
        expire_time: datetime | None = None,
        priority: int = 0,
        label: str = "",
        request_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Recorded:
        """Record that the user paid `amount_microcents`, 1 to 10^15, exactly once per `request_id`.

        It is durable when this returns. The best `request_id` is the payment's own id. With an `expire_time` (with a time zone)
        the money is a grant: what is left of it then lapses. Costs draw from the grant of the lowest `priority`, -1,000 to
        1,000, then from the one that expires first; from money without expiry last. `label` names the money for people.

        Raises GrantExpiredError for a time in the past, TooManyGrantsError, and what `record_cost` raises, except
        InsufficientFundsError.
        """
        call = _calls.record_funding(
            user_id,
            amount_microcents,
            expire_time=expire_time,
            priority=priority,
            label=label,
            request_id=request_id,
            labels=labels,
        )
        return await self._run(call, timeout_seconds)

    async def update_funding(
        self,
        user_id: str,
        *,
        old_amount_microcents: int,
        new_amount_microcents: int,
        request_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Recorded:
        """Record that the user's total funding went from one amount to another, as a payment system sees it.

        Both are totals in microcents, 0 to 9*10^18, at most 10^15 apart; a lower new one takes money back, below zero
        if it has been spent. Exactly once per `request_id`; durable when this returns.

        Raises FundingConflictError, with the total as it is, when it is not `old_amount_microcents`; else what
        `record_funding` raises.
        """
        call = _calls.update_funding(
            user_id,
            old_amount_microcents=old_amount_microcents,
            new_amount_microcents=new_amount_microcents,
            request_id=request_id,
            labels=labels,
        )
        return await self._run(call, timeout_seconds)

    async def get_balance(self, user_id: str, *, timeout_seconds: float | None = None) -> Balance:
        """Return the account as it is now; an unknown user has version 0 and every amount 0.

        Raises InvalidArgumentError for a malformed `user_id`.
        """
        return await self._run(_calls.get_balance(user_id), timeout_seconds)

    def list_entries(
        self, user_id: str, *, oldest_first: bool = False, page_size: int = 100, timeout_seconds: float | None = None
    ) -> AsyncIterator[Entry]:
        """Iterate over all of the user's entries, newest first unless `oldest_first`, fetching pages as needed.

        Entries are neither skipped nor repeated while new ones arrive. `page_size` is 1 to 1,000; `timeout_seconds` is
        for each page.
        """
        page_call = partial(_calls.list_entries, user_id, page_size=page_size, oldest_first=oldest_first)
        pages = self._pages(page_call, page_call(page_token=""), timeout_seconds)
        return (entry async for page in pages for entry in page.entries)

    async def list_entries_page(
        self,
        user_id: str,
        *,
        page_size: int = 100,
        page_token: str = "",
        oldest_first: bool = False,
        timeout_seconds: float | None = None,
    ) -> EntryPage:
        """Return one page of the user's entries, newest first unless `oldest_first`, to go on with in another process.

        `page_size` is 1 to 1,000; `page_token` is the last page's `next_page_token`, empty for the first page. Raises
        InvalidArgumentError for a token of another user or order.
        """
        call = _calls.list_entries(user_id, page_size=page_size, page_token=page_token, oldest_first=oldest_first)
        return await self._run(call, timeout_seconds)

    async def close(self) -> None:
        """Close the connection. Calls of other tasks that are under way raise RuntimeError; a second close does nothing."""
        self._lifetime.closed = True
        if self._exchange is not None and self._channel is not None:
            await self._exchange.close()
            await self._channel.close()

    async def __aenter__(self) -> Self:
        self._lifetime.check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, call: Call[ResultT], timeout_seconds: float | None) -> ResultT:
        attempts = self._start(timeout_seconds)
        while True:
            try:
                return call.parse(await self._connected().send(call, attempts))
            except Error as error:
                pause_seconds = attempts.pause_seconds_after(error)
                if pause_seconds is None:
                    raise
            await self._sleep(pause_seconds)

    def _later(self, seconds: float, callback: Callable[[], object]) -> Cancellable:
        return asyncio.get_running_loop().call_later(seconds, callback)

    def _session_host(self) -> AsyncSessionHost:
        return AsyncSessionHost(
            self._start,
            self._sleep,
            lambda: AsyncConversation(self._connected().meter_rpc(), self._lifetime.check_open),
        )

    def _connected(self) -> AsyncExchange:
        exchange = self._exchange
        if exchange is None or self._lifetime.closed or self._loop is not asyncio.get_running_loop():
            return self._connect()
        return exchange

    def _connect(self) -> AsyncExchange:
        """Connect on the first call; raise RuntimeError for one that cannot be made here."""
        self._lifetime.check_open()
        if self._exchange is not None:
            raise RuntimeError("this AsyncClient belongs to another event loop; make one for each loop")
        self._loop = asyncio.get_running_loop()
        self._channel = grpc.aio.insecure_channel(self._address, self._channel_options)
        self._exchange = AsyncExchange(Stubs(self._channel), self._lifetime.check_open, coalesce=self._coalesce)
        return self._exchange
