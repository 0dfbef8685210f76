"""The services: each method takes a parsed request and returns its answer, or raises what `status` knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from meterd.v1 import admin_pb2, ledger_pb2, metering_pb2, reservation_pb2
from meterd_server import rules
from meterd_server.errors import Overloaded, StoreUnavailable
from meterd_server.model import ACCOUNT_MICROCENTS_MAX
from meterd_server.rpc import encode, validate
from meterd_server.rpc.operations import UnreadableError, Work
from meterd_server.rpc.paging import make_token, make_user_token, page_size, read_token, read_user_token
from meterd_server.rpc.status import RequestError, applied

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from meterd_server.ledger import AnyLedger
    from meterd_server.model import Applied, Change
    from meterd_server.rpc.decode import Operations
    from meterd_server.rpc.sessions import Sessions
    from meterd_server.rpc.streams import StreamContext, Streams

_Response = TypeVar("_Response")

_NEWEST_FIRST = {"": True, "version desc": True, "version": False, "version asc": False}


class MeteringService:
    """meterd.v1.MeteringService."""

    def __init__(self, ledger: AnyLedger, sources: validate.Sources, streams: Streams, sessions: Sessions) -> None:
        self._ledger = ledger
        self._sources = sources
        self._streams = streams
        self._sessions = sessions

    async def Check(self, request: metering_pb2.CheckRequest) -> metering_pb2.CheckResponse:  # noqa: N802 -- the contract's name
        """Whether the user can afford a minimum now."""
        command = validate.check(request, self._sources)
        response = metering_pb2.CheckResponse()
        encode.fill_check(response, rules.decide_check(await self._ledger.account(command.user_id), command))
        return response

    async def RecordCost(self, request: metering_pb2.RecordCostRequest) -> metering_pb2.RecordCostResponse:  # noqa: N802
        """Record a cost, once."""
        command = validate.record_cost(request, self._sources)
        return await _carry_out(self._ledger, command, metering_pb2.RecordCostResponse(), encode.fill_recorded)

    async def RecordFunding(  # noqa: N802
        self, request: metering_pb2.RecordFundingRequest
    ) -> metering_pb2.RecordFundingResponse:
        """Record funding, once."""
        command = validate.record_funding(request, self._sources)
        return await _carry_out(self._ledger, command, metering_pb2.RecordFundingResponse(), encode.fill_recorded)

    async def Reserve(self, request: reservation_pb2.ReserveRequest) -> reservation_pb2.ReserveResponse:  # noqa: N802
        """Set money aside, once."""
        command = validate.reserve(request, self._sources)
        return await _carry_out(self._ledger, command, reservation_pb2.ReserveResponse(), encode.fill_held)

    async def Capture(self, request: reservation_pb2.CaptureRequest) -> reservation_pb2.CaptureResponse:  # noqa: N802
        """Charge what money was set aside for, once."""
        command = validate.capture(request, self._sources)
        return await _carry_out(self._ledger, command, reservation_pb2.CaptureResponse(), encode.fill_held)

    async def Release(self, request: reservation_pb2.ReleaseRequest) -> reservation_pb2.ReleaseResponse:  # noqa: N802
        """End a reservation, once."""
        command = validate.release(request, self._sources)
        return await _carry_out(self._ledger, command, reservation_pb2.ReleaseResponse(), encode.fill_held)

    async def Extend(self, request: reservation_pb2.ExtendRequest) -> reservation_pb2.ExtendResponse:  # noqa: N802
        """Keep a reservation for longer, or set more aside, once."""
        command = validate.extend(request, self._sources)
        return await _carry_out(self._ledger, command, reservation_pb2.ExtendResponse(), encode.fill_held)

    async def Batch(self, request: Operations) -> bytes:  # noqa: N802
        """Carry out many operations, each with its own result."""
        work = Work(request, self._ledger, self._sources)
        await work.begin()
        return await work.finish()

    async def Stream(self, context: StreamContext) -> None:  # noqa: N802
        """Carry out one message of many operations after the other."""
        await self._streams.conduct(context, self._begin)

    async def Meter(self, context: StreamContext) -> None:  # noqa: N802
        """Charge what is used as it is used, from money that is set aside a slice at a time."""
        await self._sessions.conduct(context)

    async def _begin(self, request: Operations) -> Awaitable[bytes]:
        """Begin one message of a stream; what is returned, awaited, is its answer. Raises `UnreadableError`."""
        work = Work(request, self._ledger, self._sources)
        try:
            await work.begin()
        except UnreadableError:
            raise
        except (RequestError, Overloaded, StoreUnavailable) as error:
            return _answer(work, error)
        return _answer(work, None)


async def _answer(work: Work, error: Exception | None) -> bytes:
    """A stream goes on when a message fails: that is every operation's result."""
    try:
        if error is None:
            return await work.finish()
    except (Overloaded, StoreUnavailable) as failed:
        error = failed
    return work.fail(error)


class LedgerService:
    """meterd.v1.LedgerService."""

    def __init__(self, ledger: AnyLedger) -> None:
        self._ledger = ledger

    async def GetBalance(self, request: ledger_pb2.GetBalanceRequest) -> ledger_pb2.GetBalanceResponse:  # noqa: N802
        """The account as it is now."""
        account = await self._ledger.account(validate.user_id(request.user_id))
        response = ledger_pb2.GetBalanceResponse()
        encode.fill_balance(response.balance, account)
        for grant in account.grants:
            encode.fill_grant(response.grants.add(), grant)
        return response

    async def ListEntries(self, request: ledger_pb2.ListEntriesRequest) -> ledger_pb2.ListEntriesResponse:  # noqa: N802
        """One page of a user's entries."""
        user_id = validate.user_id(request.user_id)
        newest_first = _NEWEST_FIRST.get(request.order_by)
        if newest_first is None:
            raise validate.refuse("order_by", 'is none of "version desc", "version" and "version asc"')
        size = page_size(request.page_size)
        order = "newest" if newest_first else "oldest"
        after_version, before_version = 0, ACCOUNT_MICROCENTS_MAX
        if request.page_token:
            version = read_token(request.page_token, user_id, order)
            if version is None:
                raise validate.refuse("page_token", "was not made for this user and order")
            after_version, before_version = (0, version) if newest_first else (version, before_version)
        # One more than asked for tells whether there is a next page.
        rows = await self._ledger.entries(
            user_id,
            after_version=after_version,
            before_version=before_version,
            newest_first=newest_first,
            limit=size + 1,
        )
        page = rows[:size]
        response = ledger_pb2.ListEntriesResponse(
            next_page_token=make_token(user_id, order, page[-1].version) if len(rows) > size else ""
        )
        for row in page:
            encode.fill_entry(response.entries.add(), row)
        return response

    async def ListBalances(self, request: ledger_pb2.ListBalancesRequest) -> ledger_pb2.ListBalancesResponse:  # noqa: N802
        """One page of all users."""
        size = page_size(request.page_size)
        after = None
        if request.page_token:
            after = read_user_token(request.page_token)
            if after is None:
                raise validate.refuse("page_token", "was not made by this method")
        # One more than asked for tells whether there is a next page.
        accounts = await self._ledger.users(after, size + 1)
        page = accounts[:size]
        response = ledger_pb2.ListBalancesResponse(
            next_page_token=make_user_token(page[-1].user_id) if len(accounts) > size else ""
        )
        for account in page:
            encode.fill_balance(response.balances.add(), account)
        return response


class AdminService:
    """meterd.v1.AdminService."""

    def __init__(self, ledger: AnyLedger, sources: validate.Sources) -> None:
        self._ledger = ledger
        self._sources = sources

    async def SetAccountPolicy(  # noqa: N802
        self, request: admin_pb2.SetAccountPolicyRequest
    ) -> admin_pb2.SetAccountPolicyResponse:
        """Change what an account is allowed, once."""
        command = validate.set_policy(request, self._sources)
        return await _carry_out(self._ledger, command, admin_pb2.SetAccountPolicyResponse(), encode.fill_recorded)

    async def ReverseEntry(self, request: admin_pb2.ReverseEntryRequest) -> admin_pb2.ReverseEntryResponse:  # noqa: N802
        """Undo an entry, in part or whole, once."""
        command = validate.reverse(request, self._sources)
        return await _carry_out(self._ledger, command, admin_pb2.ReverseEntryResponse(), encode.fill_recorded)


async def _carry_out(
    ledger: AnyLedger, command: Change, response: _Response, fill: Callable[[_Response, Applied], None]
) -> _Response:
    """Have a change made, and answer what came of it. Raises `RequestError` for what is turned down."""
    fill(response, applied(await ledger.submit(command)))
    return response
