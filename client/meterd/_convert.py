"""Wire messages to values and back. Times go through integers only, so a microsecond is never rounded."""

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from meterd._deferred import defer
from meterd._labels import Labels
from meterd.account_types import AccountPolicy, Grant, GrantDraw, OnExpiry, Reservation, ReservationState
from meterd.errors import InternalError
from meterd.types import Account, Balance, CheckResult, Entry, EntryKind, EntryPage, RateCardKey, Recorded, Usage
from meterd.v1 import account_pb2, admin_pb2, ledger_pb2, metering_pb2, reservation_pb2

_NO_LABELS = Labels({})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# UNKNOWN is not the contract's word: a number without a name here is of a newer daemon.
_KINDS = {
    account_pb2.EntryKind.Value(f"ENTRY_KIND_{kind}"): kind for kind in EntryKind if kind is not EntryKind.UNKNOWN
}
_STATES = {
    account_pb2.ReservationState.Value(f"RESERVATION_STATE_{state}"): state
    for state in ReservationState
    if state is not ReservationState.UNKNOWN
}
_ON_EXPIRY = {
    account_pb2.OnExpiry.Value(f"ON_EXPIRY_{each}"): each for each in OnExpiry if each is not OnExpiry.UNKNOWN
}

ChangeResponse = (
    metering_pb2.RecordCostResponse
    | metering_pb2.RecordFundingResponse
    | admin_pb2.SetAccountPolicyResponse
    | admin_pb2.ReverseEntryResponse
)
"""The answers to changes of the account alone; on the wire they are all the same."""
ReservationResponse = (
    reservation_pb2.ReserveResponse
    | reservation_pb2.CaptureResponse
    | reservation_pb2.ReleaseResponse
    | reservation_pb2.ExtendResponse
)
"""The answers to changes of a reservation; on the wire they are all the same."""
Answer = metering_pb2.CheckResponse | ChangeResponse | ReservationResponse | bytes
"""A response, or the bytes of the OperationResult that it came in: as a message they would take five times as much memory."""

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
        reservation=reservation_from(message.reservation) if message.HasField("reservation") else None,
        held_microcents=message.held_microcents,
        overrun=message.overrun,
        late=message.late,
        draws=tuple(GrantDraw(draw.version, draw.drawn_microcents) for draw in message.draws),
        expire_time=datetime_from(message.expire_time) if message.HasField("expire_time") else None,
        priority=message.priority,
        label=message.label,
        policy=_policy_from(message.policy) if message.HasField("policy") else None,
        reversed_version=message.reversed_version,
        reversed_microcents=message.reversed_microcents,
    )


def reservation_from(message: account_pb2.Reservation) -> Reservation:
    """Return the value of a Reservation message."""
    return Reservation(
        reservation_id=message.reservation_id,
        version=message.version,
        state=_STATES.get(message.state, ReservationState.UNKNOWN),
        amount_microcents=message.amount_microcents,
        held_microcents=message.held_microcents,
        captured_microcents=message.captured_microcents,
        floor_microcents=message.floor_microcents,
        on_expiry=_ON_EXPIRY.get(message.on_expiry, OnExpiry.UNKNOWN),
        expire_time=datetime_from(message.expire_time),
        service=message.service,
    )


def _policy_from(message: account_pb2.AccountPolicy) -> AccountPolicy:
    return AccountPolicy(message.credit_limit_microcents, message.unlimited, message.frozen)


def _grant_from(message: account_pb2.Grant) -> Grant:
    return Grant(
        version=message.version,
        amount_microcents=message.amount_microcents,
        left_microcents=message.left_microcents,
        priority=message.priority,
        expire_time=datetime_from(message.expire_time),
        label=message.label,
    )


def _response(answer: Answer) -> Any:  # noqa: ANN401 -- the kind of what is read of it
    if not isinstance(answer, bytes):
        return answer
    try:
        result = metering_pb2.OperationResult.FromString(answer)
    except DecodeError:
        raise InternalError("the daemon answered what cannot be read") from None
    return getattr(result, result.WhichOneof("result") or "")


def _entry(response: ChangeResponse | ReservationResponse) -> Entry:
    return entry_from(response.entry)


# The messages have fields of the same names as the values.
_deferred_balance = defer(Balance)


def _balance(response: metering_pb2.CheckResponse | ChangeResponse | ReservationResponse) -> Balance:
    return _deferred_balance(response.balance)


check_result_from: Callable[[Answer], CheckResult] = defer(CheckResult, opened=_response, balance=_balance)
"""Returns the value of the answer to Check."""
recorded_from: Callable[[Answer], Recorded] = defer(Recorded, opened=_response, entry=_entry, balance=_balance)
"""Returns the value of the answer to a change, of the account alone or of a reservation, which its entry holds as well."""


def balance_from_answer(response: ledger_pb2.GetBalanceResponse) -> Balance:
    """Return the value of the answer to GetBalance."""
    return balance_from(response.balance)


def account_from(response: ledger_pb2.GetBalanceResponse) -> Account:
    """Return the value of the answer to GetBalance, grants included."""
    return Account(balance_from(response.balance), tuple(map(_grant_from, response.grants)))


def entry_page_from(response: ledger_pb2.ListEntriesResponse) -> EntryPage:
    """Return the value of the answer to ListEntries."""
    return EntryPage(
        entries=tuple(entry_from(entry) for entry in response.entries), next_page_token=response.next_page_token
    )
