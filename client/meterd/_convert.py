"""Wire messages to values and back. Times go through integers only, so a microsecond is never rounded."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from operator import attrgetter

from google.protobuf.timestamp_pb2 import Timestamp

from meterd._deferred import deferred, set_field
from meterd._labels import Labels
from meterd.types import Balance, CheckResult, Entry, EntryKind, EntryPage, RateCardKey, Recorded, Usage
from meterd.v1 import account_pb2, ledger_pb2, metering_pb2

_NO_LABELS = Labels({})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_KINDS: dict[account_pb2.EntryKind.ValueType, EntryKind] = {
    account_pb2.ENTRY_KIND_COST: EntryKind.COST,
    account_pb2.ENTRY_KIND_FUNDING: EntryKind.FUNDING,
}

# The message has a field of the same name for each of the value's; this reads them in a third less time than one by one.
_balance_fields = attrgetter(*(field.name for field in fields(Balance)))


def timestamp_from(moment: datetime) -> Timestamp:
    """Return the aware `moment` as a Timestamp, exact to the microsecond."""
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def datetime_from(timestamp: Timestamp) -> datetime:
    """Return `timestamp` in UTC; what is below a microsecond is cut off."""
    return _EPOCH + timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1_000)


def balance_from(message: account_pb2.Balance) -> Balance:
    """Return the value of a Balance message."""
    return Balance(*_balance_fields(message))


def usage_from(message: account_pb2.Usage) -> Usage:
    """Return the value of a Usage message."""
    return Usage(service=message.service, model=message.model, quantities=dict(sorted(message.quantities.items())))


def rate_card_key_from(message: account_pb2.RateCardKey) -> RateCardKey:
    """Return the value of a RateCardKey message."""
    return RateCardKey(service=message.service, model=message.model, version=message.version)


def entry_from(message: account_pb2.Entry) -> Entry:
    """Return the value of an Entry message; a kind from a newer daemon is `EntryKind.UNKNOWN`."""
    return Entry(
        user_id=message.user_id,
        version=message.version,
        kind=_KINDS.get(message.kind, EntryKind.UNKNOWN),
        amount_microcents=message.amount_microcents,
        balance_microcents=message.balance_microcents,
        request_id=message.request_id,
        service=message.service,
        labels=Labels(message.labels) if message.labels else _NO_LABELS,
        occur_time=datetime_from(message.occur_time) if message.HasField("occur_time") else None,
        record_time=datetime_from(message.record_time),
        usage=usage_from(message.usage) if message.HasField("usage") else None,
        rate_card=rate_card_key_from(message.rate_card) if message.HasField("rate_card") else None,
    )


def check_result_from(response: metering_pb2.CheckResponse) -> CheckResult:
    """Return the value of the answer to Check."""
    result = deferred(CheckResult, response.SerializeToString(), _read_check)
    set_field(result, "allowed", response.allowed)
    set_field(result, "available_microcents", response.available_microcents)
    set_field(result, "shortfall_microcents", response.shortfall_microcents)
    return result


def _read_check(answer: bytes, _: str) -> Balance:
    return balance_from(metering_pb2.CheckResponse.FromString(answer).balance)


def recorded_from(response: metering_pb2.RecordCostResponse | metering_pb2.RecordFundingResponse) -> Recorded:
    """Return the value of the answer to RecordCost or RecordFunding."""
    recorded = deferred(Recorded, response.SerializeToString(), _read_recorded)
    set_field(recorded, "replayed", response.replayed)
    return recorded


def _read_recorded(answer: bytes, name: str) -> Entry | Balance:
    response = metering_pb2.RecordCostResponse.FromString(answer)  # the answer to RecordFunding is the same on the wire
    return entry_from(response.entry) if name == "entry" else balance_from(response.balance)


def balance_from_answer(response: ledger_pb2.GetBalanceResponse) -> Balance:
    """Return the value of the answer to GetBalance."""
    return balance_from(response.balance)


def entry_page_from(response: ledger_pb2.ListEntriesResponse) -> EntryPage:
    """Return the value of the answer to ListEntries."""
    return EntryPage(
        entries=tuple(entry_from(entry) for entry in response.entries), next_page_token=response.next_page_token
    )
