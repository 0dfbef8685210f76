"""A running daemon's ledger, read over the network in pages, for the commands that want all of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from meterd._status import error_from
from meterd.v1 import account_pb2, ledger_pb2
from meterd.v1.ledger_pb2_grpc import LedgerServiceStub
from meterd_server.model import (
    NOTHING_MORE,
    Account,
    AccountMore,
    Draw,
    Entry,
    EntryKind,
    EntryMore,
    Grant,
    GrantTerms,
    Policy,
    RateCardKey,
    Reservation,
    ReservationState,
    Reversal,
    Usage,
)
from meterd_server.rpc.server import DRIFT
from meterd_server.rpc.validate import timestamp_us

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Self

    from google.protobuf.timestamp_pb2 import Timestamp

_T = TypeVar("_T")

_RETRY = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        }
    ]
}
_OPTIONS = (
    ("grpc.service_config", json.dumps(_RETRY)),
    # A page of 1,000 entries with all the labels they may carry exceeds gRPC's 4 MiB.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


class LiveLedger:
    """`Readable`, from the daemon at `address`; an async context manager. Raises `meterd.Error`.

    What only stores know of an entry, its fingerprint and what an expiry has charged in advance, is 0.
    """

    def __init__(self, address: str, timeout_seconds: float) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._users_token = ""
        self._entry_tokens: dict[tuple[str, int], str] = {}

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._address, options=_OPTIONS)
        self._stub = LedgerServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def users(self, after: str | None, limit: int) -> list[Account]:
        """See `Store.users`. To be asked in order, each time after the last user of the answer before."""
        if after is None:
            self._users_token = ""
        elif not self._users_token:
            return []
        request = ledger_pb2.ListBalancesRequest(page_size=limit, page_token=self._users_token)
        page = await _said(self._stub.ListBalances(request, timeout=self._timeout_seconds))
        self._users_token = page.next_page_token
        return await asyncio.gather(*[self._account(each.user_id) for each in page.balances])

    async def entries(
        self, user_id: str, *, after_version: int, before_version: int, newest_first: bool, limit: int
    ) -> list[Entry]:
        """See `Store.entries`: oldest first only, and each page after the one before."""
        if newest_first:
            raise NotImplementedError("who walks through a ledger goes from its first entry on")
        token = self._entry_tokens.pop((user_id, after_version), "") if after_version else ""
        request = ledger_pb2.ListEntriesRequest(
            user_id=user_id, page_size=limit, page_token=token, order_by="version asc"
        )
        page = await _said(self._stub.ListEntries(request, timeout=self._timeout_seconds))
        entries = [entry_of(each) for each in page.entries]
        if page.next_page_token and entries[-1].version < before_version - 1:
            self._entry_tokens[user_id, entries[-1].version] = page.next_page_token
        return [each for each in entries if after_version < each.version < before_version]

    async def reports_drift(self) -> bool:
        """Whether the daemon has found, by itself, an account that does not follow from its entries."""
        request = health_pb2.HealthCheckRequest(service=DRIFT)
        try:
            answer = await self._health.Check(request, timeout=self._timeout_seconds)  # type: ignore[attr-defined]
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return False  # it does not look
            raise error_from(error, None) from None
        return bool(answer.status == health_pb2.HealthCheckResponse.NOT_SERVING)

    async def _account(self, user_id: str) -> Account:
        request = ledger_pb2.GetBalanceRequest(user_id=user_id)
        return account_of(await _said(self._stub.GetBalance(request, timeout=self._timeout_seconds)))


async def _said(call: Awaitable[_T]) -> _T:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise error_from(error, None) from None


def account_of(message: ledger_pb2.GetBalanceResponse) -> Account:
    """The account as the daemon says that it is."""
    balance = message.balance
    more = AccountMore(
        balance.held_microcents,
        balance.lapsed_microcents,
        Policy(balance.credit_limit_microcents, balance.unlimited, balance.frozen),
        tuple(map(_grant, message.grants)),
    )
    # When the last entry was recorded is not told.
    return Account(
        balance.user_id,
        balance.version,
        balance.funded_microcents,
        balance.spent_microcents,
        0,
        balance.residue_picocents,
        None if more == NOTHING_MORE else more,
    )


def entry_of(message: account_pb2.Entry) -> Entry:
    """The entry as the daemon says that it is."""
    usage, card = message.usage, message.rate_card
    has_usage = message.HasField("usage")
    more = EntryMore(
        message.held_microcents,
        _reservation(message.reservation) if message.HasField("reservation") else None,
        message.overrun,
        message.late,
        tuple(Draw(draw.version, draw.drawn_microcents) for draw in message.draws),
        _terms(message),
        _policy(message.policy) if message.HasField("policy") else None,
        Reversal(message.reversed_version, message.reversed_microcents) if message.reversed_version else None,
    )
    return Entry(
        message.user_id,
        message.version,
        EntryKind(message.kind),
        message.amount_microcents,
        message.balance_microcents,
        message.request_id,
        0,
        message.service,
        tuple(sorted(message.labels.items())),
        _us(message.occur_time) if message.HasField("occur_time") else None,
        _us(message.record_time),
        0,
        Usage(usage.service, usage.model, tuple(sorted(usage.quantities.items()))) if has_usage else None,
        RateCardKey(card.service, card.model, card.version) if has_usage else None,
        None if more == _NOTHING_MORE else more,
    )


_NOTHING_MORE = EntryMore()


def _terms(message: account_pb2.Entry) -> GrantTerms | None:
    expire_time_us = _us(message.expire_time) if message.HasField("expire_time") else None
    terms = GrantTerms(expire_time_us, message.priority, message.label)
    return None if terms == GrantTerms() else terms


def _policy(message: account_pb2.AccountPolicy) -> Policy:
    return Policy(message.credit_limit_microcents, message.unlimited, message.frozen)


def _grant(message: account_pb2.Grant) -> Grant:
    return Grant(
        message.version,
        message.amount_microcents,
        message.left_microcents,
        message.priority,
        _us(message.expire_time),
        message.label,
    )


def _reservation(message: account_pb2.Reservation) -> Reservation:
    return Reservation(
        message.reservation_id,
        message.version,
        ReservationState(message.state),
        message.amount_microcents,
        message.held_microcents,
        message.captured_microcents,
        message.floor_microcents,
        message.on_expiry == account_pb2.ON_EXPIRY_CAPTURE_FLOOR,
        _us(message.expire_time),
        service=message.service,
    )


def _us(message: Timestamp) -> int:
    microseconds = timestamp_us(message)
    if microseconds is None:
        raise ValueError("the daemon sent a time that is none")
    return microseconds
