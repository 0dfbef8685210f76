"""The methods for reservations, policy, reversals and grants: what is sent, and what comes back."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

import meterd
from meterd.v1 import account_pb2, admin_pb2, ledger_pb2, metering_pb2, reservation_pb2

from .test_methods import BALANCE, BALANCE_VALUE

MOMENT = datetime(2026, 11, 3, 4, 5, 6, 123457, tzinfo=UTC)
USAGE = account_pb2.Usage(service="mistral", model="large", quantities={"input_tokens": 1_200})


def moment_message():
    """Return MOMENT as a message."""
    return account_pb2.Entry(occur_time=MOMENT).occur_time


def test_reserve_sends_everything(client, daemon):
    """Every argument of reserve reaches its field; a floor says what the expiry does."""
    options = {"ttl_seconds": 90.5, "floor_microcents": 7, "allow_partial": True, "service": "chat"}
    client.reserve("alice", 5_000, labels={"k": "v"}, request_id="r-1", **options)
    expected = reservation_pb2.ReserveRequest(
        user_id="alice",
        request_id="r-1",
        amount_microcents=5_000,
        ttl=Duration(seconds=90, nanos=500_000_000),
        on_expiry=account_pb2.ON_EXPIRY_CAPTURE_FLOOR,
        floor_microcents=7,
        allow_partial=True,
        service="chat",
        labels={"k": "v"},
    )
    assert [expected] == daemon.requests


def test_reserve_leaves_the_defaults_to_the_daemon(client, daemon):
    """What was not given is not sent, but for an amount of 0 and a new request_id."""
    client.reserve("alice", 0)
    [request] = daemon.requests
    assert "amount_microcents" == request.WhichOneof("reserved")
    request.ClearField("request_id")
    assert reservation_pb2.ReserveRequest(user_id="alice", amount_microcents=0) == request


def test_reserve_usage(client, daemon):
    """A usage is sent as it is said; the service is the usage's."""
    client.reserve_usage("alice", "mistral", model="large", request_id="r-1", input_tokens=1_200)
    assert [reservation_pb2.ReserveRequest(user_id="alice", request_id="r-1", usage=USAGE)] == daemon.requests


def test_capture_sends_everything(client, daemon):
    """Every argument of capture reaches its field."""
    client.capture("alice", "r-1", 9, final=False, labels={"k": "v"}, request_id="c-1", occur_time=MOMENT)
    expected = reservation_pb2.CaptureRequest(
        user_id="alice",
        request_id="c-1",
        reservation_id="r-1",
        cost_microcents=9,
        final=False,
        labels={"k": "v"},
        occur_time=moment_message(),
    )
    assert [expected] == daemon.requests


def test_capture_usage(client, daemon):
    """A usage is captured as it is said, as the last one."""
    client.capture_usage("alice", "r-1", "mistral", model="large", input_tokens=1_200, request_id="c-1")
    expected = reservation_pb2.CaptureRequest(user_id="alice", request_id="c-1", reservation_id="r-1", usage=USAGE)
    assert [expected] == daemon.requests


def test_release_and_extend(client, daemon):
    """Both name the reservation; what was not given of an extension is not sent."""
    client.release("alice", "r-1", request_id="x-1")
    client.extend("alice", "r-1", ttl_seconds=60, request_id="x-2")
    client.extend("alice", "r-1", add_microcents=5, request_id="x-3")
    assert [
        reservation_pb2.ReleaseRequest(user_id="alice", request_id="x-1", reservation_id="r-1"),
        reservation_pb2.ExtendRequest(
            user_id="alice", request_id="x-2", reservation_id="r-1", ttl=Duration(seconds=60)
        ),
        reservation_pb2.ExtendRequest(user_id="alice", request_id="x-3", reservation_id="r-1", add_microcents=5),
    ] == daemon.requests


def test_every_field_of_a_reservation_comes_through(client, daemon):
    """The entry of a capture has the reservation, what was drawn from grants, and what was unusual."""
    reservation = account_pb2.Reservation(
        reservation_id="r-1",
        version=4,
        state=account_pb2.RESERVATION_STATE_SETTLED,
        amount_microcents=100,
        held_microcents=1,
        captured_microcents=60,
        floor_microcents=50,
        on_expiry=account_pb2.ON_EXPIRY_CAPTURE_FLOOR,
        expire_time=moment_message(),
        service="chat",
    )
    entry = account_pb2.Entry(
        user_id="alice",
        version=9,
        kind=account_pb2.ENTRY_KIND_CAPTURE,
        amount_microcents=-60,
        reservation=reservation,
        held_microcents=-100,
        overrun=True,
        late=True,
        draws=[{"version": 1, "drawn_microcents": 50}],
        record_time=moment_message(),
    )
    response = reservation_pb2.CaptureResponse(entry=entry, reservation=reservation, balance=BALANCE, replayed=True)
    daemon.script.append(response)
    recorded = client.capture("alice", "r-1", 60)
    expected = meterd.Reservation(
        reservation_id="r-1",
        version=4,
        state=meterd.ReservationState.SETTLED,
        amount_microcents=100,
        held_microcents=1,
        captured_microcents=60,
        floor_microcents=50,
        on_expiry=meterd.OnExpiry.CAPTURE_FLOOR,
        expire_time=MOMENT,
        service="chat",
    )
    assert (True, BALANCE_VALUE, expected) == (recorded.replayed, recorded.balance, recorded.reservation)
    entry = recorded.entry
    assert (meterd.EntryKind.CAPTURE, expected, -100, True, True, (meterd.GrantDraw(1, 50),)) == (
        entry.kind,
        entry.reservation,
        entry.held_microcents,
        entry.overrun,
        entry.late,
        entry.draws,
    )


def test_a_cost_is_about_no_reservation(client):
    """Asking a change of another kind for its reservation is a mistake that is named."""
    with pytest.raises(ValueError, match="a cost is about no reservation"):
        client.record_cost("alice", 5).reservation  # noqa: B018


def test_a_grant_is_funding_that_expires(client, daemon):
    """When, in which order and under which name: all reach their fields, and come back in the entry."""
    entry = account_pb2.Entry(expire_time=moment_message(), priority=-3, label="welcome")
    daemon.script.append(metering_pb2.RecordFundingResponse(entry=entry))
    recorded = client.record_funding(
        "alice", 7, expire_time=MOMENT, priority=-3, label="welcome", labels={"k": "v"}, request_id="p-1"
    )
    expected = metering_pb2.RecordFundingRequest(
        user_id="alice",
        request_id="p-1",
        amount_microcents=7,
        labels={"k": "v"},
        expire_time=moment_message(),
        priority=-3,
        label="welcome",
    )
    assert [expected] == daemon.requests
    entry = recorded.entry
    assert (MOMENT, -3, "welcome") == (entry.expire_time, entry.priority, entry.label)


def test_an_account_has_grants(client, daemon):
    """The grants come with the balance that they are in; what they do not hold is the base."""
    grants = [
        account_pb2.Grant(
            version=version, amount_microcents=50, left_microcents=left, expire_time=moment_message(), label="gift"
        )
        for version, left in ((1, 0), (2, 80))
    ]
    daemon.script.append(ledger_pb2.GetBalanceResponse(balance=BALANCE, grants=grants))
    account = client.get_account("alice")
    assert BALANCE_VALUE == account.balance
    assert (
        meterd.Grant(1, 50, 0, 0, MOMENT, "gift"),
        meterd.Grant(2, 50, 80, 0, MOMENT, "gift"),
    ) == account.grants
    assert 70 - 80 == account.base_microcents


def test_policy_sends_what_changes(client, daemon):
    """False and 0 are sent, None is not; the policy comes back in the entry."""
    policy = account_pb2.AccountPolicy(credit_limit_microcents=5, frozen=True)
    entry = account_pb2.Entry(kind=account_pb2.ENTRY_KIND_POLICY, policy=policy)
    daemon.script.append(admin_pb2.SetAccountPolicyResponse(entry=entry, balance=BALANCE))
    recorded = client.set_account_policy("alice", credit_limit_microcents=0, frozen=False, request_id="a-1")
    expected = admin_pb2.SetAccountPolicyRequest(
        user_id="alice", request_id="a-1", credit_limit_microcents=0, frozen=False
    )
    assert [expected] == daemon.requests
    assert daemon.requests[0].HasField("frozen")
    assert meterd.AccountPolicy(credit_limit_microcents=5, frozen=True) == recorded.entry.policy
    assert BALANCE_VALUE == recorded.balance


def test_reverse_entry(client, daemon):
    """All of an entry is reversed by naming it, a part by an amount; the entry says of which, and how much in all."""
    entry = account_pb2.Entry(kind=account_pb2.ENTRY_KIND_REVERSAL, reversed_version=3, reversed_microcents=9)
    daemon.script.append(admin_pb2.ReverseEntryResponse(entry=entry, balance=BALANCE))
    recorded = client.reverse_entry("alice", 3, request_id="x-1", labels={"by": "bob"})
    client.reverse_entry("alice", 3, 5, request_id="x-2")
    assert [
        admin_pb2.ReverseEntryRequest(user_id="alice", request_id="x-1", version=3, labels={"by": "bob"}),
        admin_pb2.ReverseEntryRequest(user_id="alice", request_id="x-2", version=3, amount_microcents=5),
    ] == daemon.requests
    assert (3, 9) == (recorded.entry.reversed_version, recorded.entry.reversed_microcents)


@pytest.mark.parametrize(
    ("method", "arguments", "options", "problem"),
    [
        ("reserve", ("alice", 1.0), {}, (TypeError, "amount_microcents must be an int, not float")),
        (
            "reserve",
            ("alice", 1),
            {"ttl_seconds": "5"},
            (TypeError, "ttl_seconds must be a number of seconds, not str"),
        ),
        ("reserve", ("alice", 1), {"ttl_seconds": timedelta(1)}, (TypeError, "not timedelta")),
        ("reserve", ("alice", 1), {"ttl_seconds": float("nan")}, (ValueError, "ttl_seconds must be a number")),
        ("reserve", ("alice", 1), {"floor_microcents": 0.5}, (TypeError, "floor_microcents must be an int")),
        ("capture", ("alice", b"r-1", 1), {}, (TypeError, "reservation_id must be a str, not bytes")),
        ("set_account_policy", ("alice",), {"frozen": "no"}, (TypeError, "frozen must be a bool, not str")),
        ("meter", ("alice", "1"), {}, (TypeError, "slice_microcents must be an int, not str")),
        ("record_funding", ("alice", 1), {"expire_time": datetime(2030, 1, 1)}, (ValueError, "needs a time zone")),  # noqa: DTZ001
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(client, daemon, method, arguments, options, problem):  # noqa: PLR0917
    """A bad argument is named before anything is sent."""
    kind, message = problem
    with pytest.raises(kind, match=message):
        getattr(client, method)(*arguments, **options)
    assert [] == daemon.requests
