"""The ledger's nouns to their messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from google.protobuf.timestamp_pb2 import Timestamp

from meterd.v1 import account_pb2, metering_pb2

if TYPE_CHECKING:
    from meterd_server.model import Account, Applied, Entry


def balance(account: Account) -> account_pb2.Balance:
    """The account as it goes to a caller."""
    return account_pb2.Balance(
        user_id=account.user_id,
        balance_microcents=account.balance_microcents,
        available_microcents=account.available_microcents,
        funded_microcents=account.funded_microcents,
        spent_microcents=account.spent_microcents,
        version=account.version,
    )


def entry(row: Entry) -> account_pb2.Entry:
    """The entry as it goes to a caller: the same bytes each time it is asked for."""
    return account_pb2.Entry(
        user_id=row.user_id,
        version=row.version,
        kind=cast(account_pb2.EntryKind.ValueType, row.kind.value),
        amount_microcents=row.amount_microcents,
        balance_microcents=row.balance_microcents,
        request_id=row.request_id,
        service=row.service,
        labels=dict(row.labels),
        occur_time=None if row.occur_time_us is None else timestamp(row.occur_time_us),
        record_time=timestamp(row.record_time_us),
    )


def timestamp(time_us: int) -> Timestamp:
    """Microseconds since the epoch as a Timestamp, exactly."""
    seconds, microseconds = divmod(time_us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=microseconds * 1000)


def record_cost_response(applied: Applied) -> metering_pb2.RecordCostResponse:
    """The answer to a RecordCost that is in the ledger."""
    return metering_pb2.RecordCostResponse(
        entry=entry(applied.entry), balance=balance(applied.account), replayed=applied.replayed
    )


def record_funding_response(applied: Applied) -> metering_pb2.RecordFundingResponse:
    """The answer to a RecordFunding that is in the ledger."""
    return metering_pb2.RecordFundingResponse(
        entry=entry(applied.entry), balance=balance(applied.account), replayed=applied.replayed
    )


def check_response(account: Account, shortfall_microcents: int) -> metering_pb2.CheckResponse:
    """The answer to a Check."""
    return metering_pb2.CheckResponse(
        allowed=shortfall_microcents == 0,
        available_microcents=account.available_microcents,
        shortfall_microcents=shortfall_microcents,
        balance=balance(account),
    )
