"""The services: each method takes a parsed request and returns its answer, or raises what `status` knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd.v1 import ledger_pb2, metering_pb2
from meterd_server import rules
from meterd_server.model import ACCOUNT_MICROCENTS_MAX, Applied, Outcome
from meterd_server.rpc import encode, validate
from meterd_server.rpc.paging import make_token, read_token
from meterd_server.rpc.status import RequestError, Violation, from_rejection, invalid_argument

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterd_server.ledger import Ledger

PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000

_NEWEST_FIRST = {"": True, "version desc": True, "version": False, "version asc": False}


class MeteringService:
    """meterd.v1.MeteringService."""

    def __init__(self, ledger: Ledger, make_request_id: Callable[[], str]) -> None:
        self._ledger = ledger
        self._make_request_id = make_request_id

    async def Check(self, request: metering_pb2.CheckRequest) -> metering_pb2.CheckResponse:  # noqa: N802 -- the contract's name
        """Whether the user can afford a minimum now."""
        minimum_microcents = validate.check_minimum(request)
        account = await self._ledger.account(request.user_id)
        return encode.check_response(account, rules.check(account, minimum_microcents))

    async def RecordCost(self, request: metering_pb2.RecordCostRequest) -> metering_pb2.RecordCostResponse:  # noqa: N802
        """Record a cost, once."""
        command = validate.record_cost(request, self._make_request_id)
        return encode.record_cost_response(_applied(await self._ledger.submit(command)))

    async def RecordFunding(  # noqa: N802
        self, request: metering_pb2.RecordFundingRequest
    ) -> metering_pb2.RecordFundingResponse:
        """Record funding, once."""
        command = validate.record_funding(request, self._make_request_id)
        return encode.record_funding_response(_applied(await self._ledger.submit(command)))


class LedgerService:
    """meterd.v1.LedgerService."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def GetBalance(self, request: ledger_pb2.GetBalanceRequest) -> ledger_pb2.GetBalanceResponse:  # noqa: N802
        """The account as it is now."""
        account = await self._ledger.account(validate.user_id(request.user_id))
        return ledger_pb2.GetBalanceResponse(balance=encode.balance(account))

    async def ListEntries(self, request: ledger_pb2.ListEntriesRequest) -> ledger_pb2.ListEntriesResponse:  # noqa: N802
        """One page of a user's entries."""
        user_id = validate.user_id(request.user_id)
        newest_first = _NEWEST_FIRST.get(request.order_by)
        if newest_first is None:
            raise _refuse("order_by", 'is none of "version desc", "version" and "version asc"')
        if request.page_size < 0:
            raise _refuse("page_size", "is negative")
        page_size = min(request.page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
        order = "newest" if newest_first else "oldest"
        after_version, before_version = 0, ACCOUNT_MICROCENTS_MAX
        if request.page_token:
            version = read_token(request.page_token, user_id, order)
            if version is None:
                raise _refuse("page_token", "was not made for this user and order")
            after_version, before_version = (0, version) if newest_first else (version, before_version)
        # One more than asked for tells whether there is a next page.
        rows = await self._ledger.entries(
            user_id,
            after_version=after_version,
            before_version=before_version,
            newest_first=newest_first,
            limit=page_size + 1,
        )
        page = rows[:page_size]
        return ledger_pb2.ListEntriesResponse(
            entries=[encode.entry(row) for row in page],
            next_page_token=make_token(user_id, order, page[-1].version) if len(rows) > page_size else "",
        )


def _applied(outcome: Outcome) -> Applied:
    if isinstance(outcome, Applied):
        return outcome
    raise RequestError(from_rejection(outcome))


def _refuse(field: str, description: str) -> RequestError:
    return RequestError(invalid_argument([Violation(field, description)]))
