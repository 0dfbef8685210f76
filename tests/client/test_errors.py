"""Every reason becomes its own exception, with what the daemon said; nothing that arrives can break the decoder."""

import pickle

import grpc
import pytest

import meterd
from meterd._status import BY_REASON
from meterd.v1 import errors_pb2

Code = grpc.StatusCode

REASONS = [
    (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", meterd.InvalidArgumentError),
    (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED", meterd.RequestIdReusedError),
    (Code.OUT_OF_RANGE, "AMOUNT_OUT_OF_RANGE", meterd.AmountOutOfRangeError),
    (Code.RESOURCE_EXHAUSTED, "OVERLOADED", meterd.OverloadedError),
    (Code.UNAVAILABLE, "STORE_UNAVAILABLE", meterd.UnavailableError),
    (Code.INTERNAL, "INTERNAL", meterd.InternalError),
    (Code.FAILED_PRECONDITION, "RESERVATION_CLOSED", meterd.ReservationClosedError),
    (Code.INVALID_ARGUMENT, "TTL_OUT_OF_RANGE", meterd.TtlOutOfRangeError),
    (Code.FAILED_PRECONDITION, "ACCOUNT_FROZEN", meterd.AccountFrozenError),
    (Code.FAILED_PRECONDITION, "A_LATER_REASON", meterd.UnknownError),
    (Code.UNAVAILABLE, "A_LATER_REASON", meterd.UnavailableError),
]


@pytest.fixture
def caught(connect, daemon):
    """Return a function that lets record_cost fail and returns the exception."""

    def caught(failure):
        daemon.script.append(failure)
        with pytest.raises(meterd.Error) as info:
            connect(retry=meterd.RetryPolicy(attempts=1)).record_cost("alice", 1, request_id="r-1")
        return info.value

    return caught


@pytest.mark.parametrize(("code", "reason", "kind"), REASONS)
def test_reason(caught, daemon, code, reason, kind):
    """A reason selects the class, and code, reason, message, metadata and request_id are kept."""
    error = caught(daemon.failure(code, reason, {"k": "v"}))
    expected = (kind, code, reason, "no", {"k": "v"}, "r-1")
    actual = (type(error), error.code, error.reason, error.message, error.metadata, error.request_id)
    assert expected == actual


def test_every_reason_of_the_contract_has_a_class():
    """The table names exactly the reasons of the contract."""
    names = {name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()}  # noqa: SIM118  not a dict
    assert names - {"UNSPECIFIED"} == set(BY_REASON)


def test_field_violations(caught, daemon):
    """A bad argument names each field with what is wrong."""
    violations = (("user_id", "is empty"), ("service", "is too long"))
    error = caught(daemon.failure(Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", violations=violations))
    assert violations == error.field_violations


def test_insufficient_funds(caught, daemon):
    """The three amounts are integers, beyond what a float holds."""
    amounts = {"available_microcents": "-1", "required_microcents": "9007199254740993", "shortfall_microcents": "7"}
    error = caught(daemon.failure(Code.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS", amounts))
    assert isinstance(error, meterd.InsufficientFundsError)
    actual = (error.available_microcents, error.required_microcents, error.shortfall_microcents)
    assert (-1, 9007199254740993, 7) == actual
    assert "INSUFFICIENT_FUNDS: no" == str(error)


def test_funding_conflict(caught, daemon):
    """The conflict tells the total as it is."""
    error = caught(daemon.failure(Code.ABORTED, "FUNDING_CONFLICT", {"funded_microcents": "12"}))
    assert isinstance(error, meterd.FundingConflictError)
    assert 12 == error.funded_microcents


def test_reversal_over_entry(caught, daemon):
    """The error tells how much may still be reversed."""
    error = caught(daemon.failure(Code.FAILED_PRECONDITION, "REVERSAL_OVER_ENTRY", {"left_microcents": "9"}))
    assert isinstance(error, meterd.ReversalOverEntryError)
    assert 9 == error.left_microcents


@pytest.mark.parametrize(("text", "state"), [("EXPIRED", "EXPIRED"), ("NEWER", "UNKNOWN"), (None, "UNKNOWN")])
def test_reservation_closed(caught, daemon, text, state):
    """The error tells how the reservation ended, also when only a newer client would know the word."""
    error = caught(daemon.failure(Code.FAILED_PRECONDITION, "RESERVATION_CLOSED", {"state": text} if text else {}))
    assert (meterd.ReservationClosedError, meterd.ReservationState(state)) == (type(error), error.state)


@pytest.mark.parametrize("reason", ["TTL_OUT_OF_RANGE", "FLOOR_OVER_AMOUNT", "GRANT_EXPIRED"])
def test_what_is_wrong_with_an_argument_is_an_invalid_argument(caught, daemon, reason):
    """Who catches bad arguments catches those with a reason of their own, too."""
    error = caught(daemon.failure(Code.INVALID_ARGUMENT, reason))
    assert isinstance(error, meterd.InvalidArgumentError)
    assert type(error) is not meterd.InvalidArgumentError


@pytest.mark.parametrize("metadata", [{}, {"funded_microcents": "a lot"}])
def test_amounts_that_do_not_parse(caught, daemon, metadata):
    """An error that lacks its numbers is not handed out as one that has them."""
    error = caught(daemon.failure(Code.ABORTED, "FUNDING_CONFLICT", metadata))
    assert (meterd.UnknownError, "FUNDING_CONFLICT") == (type(error), error.reason)


@pytest.mark.parametrize(
    ("delay", "seconds"), [({"seconds": 2, "nanos": 500_000_000}, 2.5), ({"seconds": -3}, 0.0), (None, None)]
)
def test_retry_after(caught, daemon, delay, seconds):
    """OVERLOADED says how long to wait, if the daemon did; never a negative time."""
    error = caught(daemon.failure(Code.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after=delay))
    assert seconds == error.retry_after_seconds


def test_another_domain(caught, daemon):
    """A reason of another domain, a proxy's say, is not ours: the code decides."""
    error = caught(daemon.failure(Code.ABORTED, "FUNDING_CONFLICT", {"funded_microcents": "1"}, domain="proxy"))
    assert (meterd.UnknownError, "", {}) == (type(error), error.reason, error.metadata)


@pytest.mark.parametrize("details", [None, b"", b"\xff\xff\xff", b"\x1a\x03\x0a\x01\xff"])
def test_malformed_details(caught, daemon, details):
    """Details that are missing or do not parse leave the code to decide."""
    error = caught(daemon.Failure(Code.INTERNAL, "no", details))
    assert (meterd.InternalError, Code.INTERNAL, "", ()) == (
        type(error),
        error.code,
        error.reason,
        error.field_violations,
    )


def test_a_malformed_detail_among_good_ones(caught, daemon):
    """A detail that says it is an ErrorInfo and does not parse as one is passed over."""
    bad = daemon.failure(Code.ABORTED, "X").details.replace(b"meterd", b"\xff\xff\xff\xff\xff\xff")
    assert meterd.UnknownError is type(caught(daemon.Failure(Code.ABORTED, "no", bad)))


def test_a_read_has_no_request_id(client, daemon):
    """An error of a call that changes nothing has no request_id."""
    daemon.script.append(daemon.failure(Code.INTERNAL, "INTERNAL"))
    with pytest.raises(meterd.InternalError) as info:
        client.check("alice")
    assert info.value.request_id is None


def test_errors_can_be_pickled():
    """An error can leave a worker process with all that it knows."""
    error = meterd.FundingConflictError("no", reason="R", metadata={"funded_microcents": "1"}, request_id="r-1")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(error), vars(error), str(error)) == (type(copy), vars(copy), str(copy))
