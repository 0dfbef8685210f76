"""What is tried again, how often, after how long, and under which request_id."""

import uuid

import grpc
import pytest

import meterd
from meterd._retry import Attempts

Code = grpc.StatusCode
NO_JITTER = meterd.RetryPolicy(initial_backoff_seconds=0)


def test_unavailable_is_tried_again_as_the_same_request(client, daemon):
    """A retry sends the same request under the same request_id, a UUIDv7 made before the first attempt."""
    daemon.script.extend([daemon.failure(Code.UNAVAILABLE, "STORE_UNAVAILABLE"), daemon.Failure(Code.UNAVAILABLE)])
    entry = client.record_cost("alice", 5).entry
    assert [daemon.requests[0]] * 3 == daemon.requests
    assert entry.request_id == daemon.requests[0].request_id
    assert 7 == uuid.UUID(entry.request_id).version


def test_two_calls_are_two_requests(client, daemon):
    """Each call has a request_id of its own."""
    client.record_cost("alice", 5)
    client.record_funding("alice", 5)
    client.update_funding("alice", old_amount_microcents=5, new_amount_microcents=6)
    assert 3 == len({request.request_id for request in daemon.requests})


def test_retries_stop_at_attempts(connect, daemon):
    """After the last attempt the caller gets the error, and in it the request_id to go on with."""
    client = connect(retry=meterd.RetryPolicy(attempts=3))
    daemon.script.extend([daemon.failure(Code.UNAVAILABLE, "STORE_UNAVAILABLE")] * 3)
    with pytest.raises(meterd.UnavailableError) as info:
        client.record_cost("alice", 5)
    assert (3, 2) == (len(daemon.requests), len(client.pauses))
    assert daemon.requests[0].request_id == info.value.request_id


def test_overloaded_waits_as_long_as_it_was_told(connect, daemon):
    """The pause after OVERLOADED is RetryInfo's."""
    client = connect(retry=NO_JITTER)
    daemon.script.append(daemon.failure(Code.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after={"seconds": 7}))
    client.record_cost("alice", 5)
    assert [7.0] == client.pauses


def test_a_pause_never_passes_the_deadline(connect, daemon):
    """When the daemon asks for more time than the call has left, the error comes at once."""
    client = connect(retry=NO_JITTER)
    daemon.script.append(daemon.failure(Code.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after={"seconds": 60}))
    with pytest.raises(meterd.OverloadedError) as info:
        client.record_cost("alice", 5)
    assert (1, [], 60.0) == (len(daemon.requests), client.pauses, info.value.retry_after_seconds)


@pytest.mark.parametrize("code", [Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.FAILED_PRECONDITION, Code.UNKNOWN])
def test_other_errors_are_not_tried_again(client, daemon, code):
    """Only UNAVAILABLE and OVERLOADED are tried again."""
    daemon.script.append(daemon.Failure(code))
    with pytest.raises(meterd.Error):
        client.record_cost("alice", 5)
    assert 1 == len(daemon.requests)


def test_a_silent_daemon(client, daemon):
    """No answer within the timeout is a DeadlineExceededError, with the request_id to ask again."""
    daemon.released.clear()
    with pytest.raises(meterd.DeadlineExceededError) as info:
        client.record_cost("alice", 5, request_id="r-1", timeout_seconds=0.05)
    assert "r-1" == info.value.request_id


def test_backoff_doubles_up_to_its_limit(clock):
    """Without jitter's luck the pauses double from the initial to the largest, for the default policy as documented."""
    attempts = Attempts(meterd.RetryPolicy(attempts=8), 60.0, clock=clock, jitter=lambda: 1.0)
    pauses = [attempts.pause_seconds_after(meterd.UnavailableError("no")) for _ in range(8)]
    assert [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, None] == pauses


def test_all_attempts_share_one_deadline(clock):
    """What an attempt and its pause took is gone for the next one; when a pause would take the rest, it is over."""
    attempts = Attempts(meterd.RetryPolicy(initial_backoff_seconds=2.0), 10.0, clock=clock, jitter=lambda: 1.0)
    assert 10.0 == attempts.remaining_seconds()
    clock.go_on(7.0)
    assert (3.0, 2.0) == (attempts.remaining_seconds(), attempts.pause_seconds_after(meterd.UnavailableError("no")))
    clock.go_on(2.0)
    assert attempts.pause_seconds_after(meterd.UnavailableError("no")) is None
    clock.go_on(2.0)
    assert 0.0 == attempts.remaining_seconds()


def test_many_attempts_do_not_overflow(clock):
    """However many attempts, the backoff stays finite."""
    attempts = Attempts(meterd.RetryPolicy(attempts=3_000), 1e6, clock=clock, jitter=lambda: 1.0)
    pauses = {attempts.pause_seconds_after(meterd.UnavailableError("no")) for _ in range(2_999)}
    assert 2.0 == max(pauses)


@pytest.mark.parametrize(
    "options", [{"attempts": 0}, {"initial_backoff_seconds": -1}, {"max_backoff_seconds": float("nan")}]
)
def test_a_senseless_policy_is_refused(options):
    """A policy that could not work is refused where it is made."""
    with pytest.raises(ValueError, match=next(iter(options))):
        meterd.RetryPolicy(**options)
