"""The commands for reservations, grants, policy and reversals: what they ask for, and what they print."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import typer
from rich.console import Console

import meterd
from meterd_server.cli import output
from meterd_server.cli.times import moment

from .conftest import EPOCH, balance, entry, reservation

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_reserve(run, client):
    """It holds an amount, written in dollars, and prints until when, what is left, and the reservation's id."""
    client.balance = balance(funded=500_000, held_microcents=5_000)
    options = ("--ttl", "60", "--floor", "1_000", "--allow-partial", "--service", "chat", "--label", "a=1")
    result = run("reserve", "ada", "0.00005usd", *options, "--request-id", "job-1")
    more = {
        "ttl_seconds": 60.0,
        "floor_microcents": 1_000,
        "allow_partial": True,
        "service": "chat",
        "labels": {"a": "1"},
        "request_id": "job-1",
    }
    assert [("reserve", "ada", 5_000, more)] == client.calls
    assert (
        "reserved $0.00005000 (5,000 µ¢) of ada, until 2026-11-24 12:05:00 UTC\n"
        "available $0.00500000 (500,000 µ¢), held $0.00005000 (5,000 µ¢)\n"
        "reservation job-1: open\n"
    ) == result.stdout


def test_reserve_by_usage(run, client):
    """It holds what the rate card says of the most that will be used."""
    result = run("reserve", "ada", "--service", "mistral", "--model", "large", "--usage", "output_tokens=1_000")
    name, user, service, model, quantities, _ = client.calls[0]
    assert ("reserve_usage", "ada", "mistral", "large", {"output_tokens": 1_000}) == (
        name,
        user,
        service,
        model,
        quantities,
    )
    assert "reserved $0.00420000 (420,000 µ¢) of ada for 1,000 output_tokens of large, until" in result.stdout


@pytest.mark.parametrize(("options", "final"), [((), True), (("--keep-open",), False)])
def test_capture(run, client, options, final):
    """It charges what was used, and keeps the rest only when told to."""
    result = run("capture", "ada", "job-1", "3_000", *options, "--request-id", "c-1")
    assert [("capture", "ada", "job-1", 3_000, {"final": final, "labels": {}, "request_id": "c-1"})] == client.calls
    assert (
        "charged ada $0.00003000 (3,000 µ¢)\n"
        "available $0.00500000 (500,000 µ¢)\n"
        f"reservation job-1: {'captured' if final else 'open'}, request id c-1\n"
    ) == result.stdout


@pytest.mark.parametrize(
    ("unusual", "words"), [({"overrun": True}, ", more than was held"), ({"late": True}, ", late: it had expired")]
)
def test_capture_says_what_is_unusual(run, client, unusual, words):
    """More than was held, or after the expiry: it is charged, and said."""
    client.unusual = unusual
    assert f"charged ada $0.00003000 (3,000 µ¢){words}\n" in run("capture", "ada", "job-1", "3_000").stdout


def test_capture_by_usage(run, client):
    """What was used reaches the daemon as it was typed."""
    result = run("capture", "ada", "job-1", "--service", "scan", "--usage", "pages=3")
    assert ("capture_usage", "ada", "job-1", "scan", "", {"pages": 3}) == client.calls[0][:6]
    assert "charged ada $0.00420000 (420,000 µ¢) for 3 pages\n" in result.stdout


def test_release_and_extend(run, client):
    """Both say what is held then."""
    assert run("release", "ada", "job-1").stdout.startswith("released $0.00005000 (5,000 µ¢) of ada\n")
    result = run("extend", "ada", "job-1", "--ttl", "60", "--add", "5", "--request-id", "x-1")
    assert ("extend", "ada", "job-1", {"ttl_seconds": 60.0, "add_microcents": 5, "request_id": "x-1"}) == client.calls[
        1
    ]
    assert "holding $0.00005000 (5,000 µ¢) of ada, until 2026-11-24 12:05:00 UTC\n" in result.stdout


def test_a_repeated_change_says_so(run, client):
    """A request id that was used before changes nothing."""
    client.replayed = True
    for command in (("reserve", "ada", "5"), ("capture", "ada", "job-1", "5"), ("policy", "ada", "--frozen")):
        assert run(*command).stdout.startswith("replayed: already recorded, nothing changed\n")
    assert run("reverse", "ada", "1").stdout.startswith("replayed: already recorded, nothing reversed\n")


def test_policy(run, client):
    """What is not given stays as it is, and the whole is printed."""
    client.balance = balance(funded=5, credit_limit_microcents=7, unlimited=True, frozen=True)
    result = run("policy", "ada", "--credit-limit", "7", "--not-frozen", "--request-id", "p-1")
    more = {"credit_limit_microcents": 7, "unlimited": None, "frozen": False, "request_id": "p-1"}
    assert [("set_account_policy", "ada", more)] == client.calls
    assert (
        "ada: credit limit $0.00000007 (7 µ¢), unlimited, frozen\navailable $0.00000005 (5 µ¢), request id p-1\n"
    ) == result.stdout


def test_reverse(run, client):
    """All that is left, or a part; it says how much is reversed in all."""
    result = run("reverse", "ada", "3", "--label", "by=bob", "--request-id", "x-1")
    run("reverse", "ada", "3", "7")
    assert ("reverse_entry", "ada", 3, None, {"labels": {"by": "bob"}, "request_id": "x-1"}) == client.calls[0]
    assert 7 == client.calls[1][3]
    assert (
        "reversed $0.00050000 (50,000 µ¢) of entry 3 of ada, $0.00050001 (50,001 µ¢) of it in all\n"
        "balance $0.00500000 (500,000 µ¢), request id x-1\n"
    ) == result.stdout


def test_grants(run, client):
    """Grants are listed in the order they are drawn from, the base last."""
    client.balance = balance(funded=1_000)
    client.grants = (
        meterd.Grant(4, 900, 300, -1, EPOCH, "welcome"),
        meterd.Grant(2, 50, 0, 0, EPOCH + timedelta(days=1), ""),
    )
    rows = [line.split() for line in run("grants", "ada").stdout.splitlines() if "µ¢" in line][1:]
    assert [
        ["entry", "4", "welcome", "$0.00000300", "300", "µ¢", "$0.00000900", "-1", "2026-11-24", "12:00:00"],
        ["entry", "2", "$0.00000000", "0", "µ¢", "$0.00000050", "0", "2026-11-25", "12:00:00"],
        ["base", "$0.00000700", "700", "µ¢", "never"],
    ] == rows
    account = json.loads(run("grants", "ada", "--json").stdout)
    assert ["300", "0"] == [grant["left_microcents"] for grant in account["grants"]]


def test_fund_a_grant(run, client):
    """Money that expires has a time, a place in the order, and a name."""
    options = ("--expires", "2027-01-31", "--priority", "-5", "--grant-label", "welcome", "--request-id", "p-1")
    result = run("fund", "ada", "5", *options)
    more = {"expire_time": datetime(2027, 1, 31, tzinfo=UTC), "priority": -5, "label": "welcome"}
    assert [("record_funding", "ada", 5, {**more, "request_id": "p-1", "labels": {}})] == client.calls
    assert "funded ada with $0.00000005 (5 µ¢), until 2027-01-31 00:00 UTC\n" in result.stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T12:00", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ("2027-01-31T12:00+01:00", datetime(2027, 1, 31, 11, tzinfo=UTC)),
        ("30d", NOON + timedelta(days=30)),
        ("12h", NOON + timedelta(hours=12)),
    ],
)
def test_times(text, expected):
    """A date, a moment with or without a zone, and how long from now."""
    assert expected == moment(text, "--expires", now=NOON)


@pytest.mark.parametrize("text", ["", "soon", "5", "1.5d", "-1d", "999999d9", "2027-02-30", "٣d", "99999999d"])
def test_what_is_no_time(text):
    """It is refused with what would be one."""
    with pytest.raises(typer.BadParameter, match="is not a time, such as 2027-01-31"):
        moment(text, "--expires", now=NOON)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("reserve", "ada"), "AMOUNT"),
        (("reserve", "ada", "x"), "AMOUNT"),
        (("reserve", "ada", "5", "--floor", "x"), "--floor"),
        (("reserve", "ada", "5", "--ttl", "x"), "--ttl"),
        (("reserve", "ada", "5", "--usage", "pages=1"), "--service"),
        (("capture", "ada", "job-1"), "COST"),
        (("capture", "ada"), "RESERVATION"),
        (("extend", "ada", "job-1"), "--ttl"),
        (("extend", "ada", "job-1", "--add", "x"), "--add"),
        (("policy", "ada"), "--credit-limit"),
        (("policy", "ada", "--credit-limit", "x"), "--credit-limit"),
        (("reverse", "ada"), "VERSION"),
        (("reverse", "ada", "1", "x"), "AMOUNT"),
        (("fund", "ada", "5", "--expires", "soon"), "--expires"),
        (("fund", "ada", "--from", "1", "--to", "2", "--expires", "30d"), "--expires"),
    ],
    ids=" ".join,
)
def test_usage_errors_name_the_argument(run, client, arguments, name):
    """A bad argument exits 2, is named, and nothing is sent."""
    result = run(*arguments)
    assert (2, []) == (result.exit_code, client.calls)
    assert name in result.stderr


def test_a_frozen_user_is_shown_as_one(run, client):
    """The balance says what its owner may, if that is unusual."""
    client.balance = balance(funded=5, credit_limit_microcents=7, frozen=True)
    lines = [line.split() for line in run("balance", "ada").stdout.splitlines()]
    assert ["credit", "limit", "$0.00000007", "7", "µ¢"] in lines
    assert ["frozen", "yes"] in lines


def test_a_check_of_a_frozen_user_says_why(run, client):
    """Nothing is missing, and it is denied all the same."""
    client.balance = balance(funded=-5, frozen=True)
    result = run("check", "ada")
    assert (1, "denied: ada has -$0.00000005 (-5 µ¢) available, and is frozen\n") == (result.exit_code, result.stdout)


KIND = meterd.EntryKind
ROWS = [
    entry(1, 900, request_id="p-1", label="welcome", expire_time=EPOCH, priority=-1),
    entry(2, 0, kind=KIND.RESERVATION, request_id="job-1", held_microcents=5_000, reservation=reservation()),
    entry(
        3, -6_000, kind=KIND.CAPTURE, request_id="c-1", held_microcents=-5_000, reservation=reservation(), overrun=True
    ),
    entry(4, -10, kind=KIND.CAPTURE, request_id="c-2", reservation=reservation("EXPIRED"), late=True),
    entry(5, 10, kind=KIND.REVERSAL, request_id="x-1", reversed_version=4, labels={"by": "bob"}),
    entry(6, 0, kind=KIND.POLICY, request_id="a-1", policy=meterd.AccountPolicy(7, unlimited=True, frozen=True)),
]
ABOUT = [
    "welcome, expires 2026-11-24 12:00:00, priority -1",
    "",
    "of job-1, more than was held",
    "of job-1, late",
    "reverses 4",
    "credit limit $0.00000007, unlimited, frozen",
]


def test_entries_say_what_they_are_about(run, client):
    """What is held, and what there is to say of an entry, have columns; those without either do not."""
    client.rows = ROWS
    lines = run("entries", "ada", "--oldest-first").stdout.splitlines()
    for row, about in zip(ROWS, ABOUT, strict=True):
        [line] = [each for each in lines if each.endswith(row.request_id)]
        assert about in line
        assert row.kind.lower() in line
    [held] = [line for line in lines if "+$0.00005000" in line]
    assert "reservation" in held
    client.rows = [entry(1, -5)]
    heads = [line for line in run("entries", "ada").stdout.splitlines() if "version" in line]
    assert not [word for word in ("held", "about") if word in heads[0]]


def test_entries_on_a_narrow_terminal(run, client, monkeypatch):
    """Nothing is left out."""
    monkeypatch.setattr(output, "console", lambda: Console(width=80, color_system=None, markup=False))
    client.rows = ROWS[1:3]
    assert [
        "     2  2026-11-24 12:00:02  reservation     $0.00000000                  0 µ¢",
        "        balance $0.00000000  held +$0.00005000  job-1",
        "     3  2026-11-24 12:00:03  capture        -$0.00006000             -6,000 µ¢",
        "        balance $0.00000000  held -$0.00005000  of job-1, more than was held  c-1",
    ] == run("entries", "ada", "--oldest-first").stdout.splitlines()
