import inspect
import json

import pytest

import meterd
from meterd_server.cli.exits import EXIT_HELP, Exit, exit_of
from meterd_server.rate_files import SEED

EXITS = {
    meterd.InvalidArgumentError: 2,
    meterd.AmountOutOfRangeError: 2,
    meterd.InsufficientFundsError: 1,
    meterd.RequestIdReusedError: 3,
    meterd.FundingConflictError: 3,
    meterd.UnknownRateError: 3,
    meterd.RateCardConflictError: 3,
    meterd.TtlOutOfRangeError: 2,
    meterd.FloorOverAmountError: 2,
    meterd.GrantExpiredError: 2,
    meterd.AccountFrozenError: 1,
    meterd.MeteringStoppedError: 1,
    meterd.ReservationNotFoundError: 3,
    meterd.ReservationClosedError: 3,
    meterd.TooManyGrantsError: 3,
    meterd.EntryNotFoundError: 3,
    meterd.EntryNotReversibleError: 3,
    meterd.ReversalOverEntryError: 3,
    meterd.OverloadedError: 4,
    meterd.UnavailableError: 4,
    meterd.DeadlineExceededError: 4,
    meterd.InternalError: 70,
    meterd.UnknownError: 70,
}
UNKNOWN_OUTCOME = (meterd.UnavailableError, meterd.DeadlineExceededError, meterd.InternalError)


def test_every_client_error_has_an_exit_code():
    """No error of the client is left to chance."""
    classes = {each for _, each in inspect.getmembers(meterd, inspect.isclass) if issubclass(each, meterd.Error)}
    assert EXITS.keys() == classes - {meterd.Error}
    assert dict(EXITS) == {each: exit_of(each("x")) for each in EXITS}


def test_every_exit_code_is_explained():
    """The help lists all exit codes."""
    assert set(Exit) == EXIT_HELP.keys()


@pytest.mark.parametrize(("error", "code"), EXITS.items())
@pytest.mark.parametrize(
    "command",
    [
        ("check", "ada"),
        ("check", "ada", "--service", "scan", "--usage", "pages=1"),
        ("charge", "ada", "5"),
        ("charge", "ada", "--service", "scan", "--usage", "pages=1"),
        ("quote", "ada", "scan", "pages=1"),
        ("prices", "list"),
        ("prices", "show", "scan"),
        ("prices", "load", SEED),
        ("prices", "check", SEED, "--address", "localhost:1"),
        ("fund", "ada", "5"),
        ("fund", "ada", "--from", "1", "--to", "2"),
        ("balance", "ada"),
        ("entries", "ada"),
        ("reserve", "ada", "5"),
        ("capture", "ada", "job-1", "5"),
        ("release", "ada", "job-1"),
        ("extend", "ada", "job-1", "--ttl", "60"),
        ("grants", "ada"),
        ("policy", "ada", "--frozen"),
        ("reverse", "ada", "1"),
    ],
    ids=lambda command: " ".join(map(str, command)),
)
def test_errors_become_exit_codes(run, client, command, error, code):
    """Each command ends with the table's exit code and a sentence on stderr, without a traceback, its client closed."""
    client.error = error("this is what happened", reason="SOME_REASON")
    result = run(*command)
    assert (code, "") == (result.exit_code, result.stdout)
    assert result.stderr.startswith("meterd: ")
    assert "Traceback" not in result.stderr
    assert client.closed


@pytest.mark.parametrize("error", EXITS)
def test_json_errors(run, client, error):
    """With --json an error is one JSON object on stderr, for programs to tell apart by reason."""
    client.error = error(
        "no",
        reason="SOME_REASON",
        metadata={"available_microcents": "5"},
        field_violations=(("user_id", "is empty"),),
    )
    result = run("charge", "ada", "5", "--request-id", "r1", "--json")
    assert {
        "error": {
            "reason": "SOME_REASON",
            "message": "no",
            "metadata": {"available_microcents": "5"},
            "field_violations": [{"field": "user_id", "description": "is empty"}],
            "request_id": "r1",
        }
    } == json.loads(result.stderr)


def test_json_errors_without_a_daemon(run, client):
    """When no daemon answered there is no reason of its own: the gRPC code's name stands in."""
    client.error = meterd.UnavailableError("connection refused")
    error = json.loads(run("balance", "ada", "--json").stderr)["error"]
    assert ("UNAVAILABLE", None) == (error["reason"], error["request_id"])


@pytest.mark.parametrize("error", EXITS)
def test_an_unknown_outcome_says_how_to_repeat(run, client, error):
    """When a change may have been made, the request id that makes a repetition safe is printed, and only then."""
    client.error = error("gone")
    result = run("charge", "ada", "5")
    request_id = client.calls[0][3]["request_id"]
    advice = f"the outcome is unknown; to repeat it safely add --request-id {request_id}"
    assert (error in UNKNOWN_OUTCOME) == (advice in result.stderr)


def test_overload_says_that_nothing_changed(run, client):
    """An overloaded daemon did not start the call."""
    client.error = meterd.OverloadedError("queue is full", reason="OVERLOADED")
    result = run("fund", "ada", "5", "--request-id", "pay-1")
    assert "meterd: OVERLOADED: queue is full" in result.stderr
    assert "nothing was changed; try again in a while with --request-id pay-1" in result.stderr


def test_reads_do_not_speak_of_outcomes(run, client):
    """A read changes nothing, so it has no request id to repeat with."""
    client.error = meterd.UnavailableError("connection refused")
    assert "meterd: cannot reach 127.0.0.1:50051: connection refused\n" == run("balance", "ada").stderr


def test_a_timeout_says_how_long_it_waited(run, client):
    """The deadline is named, since it is the user's own option."""
    client.error = meterd.DeadlineExceededError("Deadline Exceeded")
    result = run("check", "ada", "--timeout", "0.5", "--address", "localhost:9")
    assert "no answer from localhost:9 within 0.5 s" in result.stderr


def test_bad_fields_are_listed(run, client):
    """Each bad field is named with what is wrong with it, once."""
    client.error = meterd.InvalidArgumentError(
        "user_id: is empty",
        reason="INVALID_ARGUMENT",
        field_violations=(("user_id", "is empty"), ("service", "too long")),
    )
    assert "meterd: INVALID_ARGUMENT: user_id: is empty\nmeterd:   service: too long\n" == run("balance", "").stderr


@pytest.mark.parametrize("command", [("balance", "ada"), ("charge", "ada", "5", "--request-id", "r9")], ids=" ".join)
def test_interrupt(run, client, command):
    """Ctrl-C ends a command with 130; a change in flight says how to repeat it, a read says nothing."""
    client.error = KeyboardInterrupt()
    result = run(*command)
    assert 130 == result.exit_code
    assert ("--request-id r9" in result.stderr) == (command[0] == "charge")


def test_what_the_client_refuses_is_a_usage_error(run, client):
    """An argument that the client itself will not send exits 2, as one that the daemon refuses."""
    client.error = ValueError("request_id must not be empty")
    result = run("charge", "ada", "5", "--request-id", "")
    assert (2, "meterd: request_id must not be empty\n") == (result.exit_code, result.stderr)
