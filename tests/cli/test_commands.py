import json

import pytest
from rich.console import Console

import meterd
from meterd_server.cli import output

from .conftest import balance, entry


@pytest.mark.parametrize(("minimum", "code", "word"), [("500_000", 0, "allowed"), ("0.00500001usd", 1, "denied")])
def test_check_answers_with_its_exit_code(run, client, minimum, code, word):
    """Allowed is exit 0 and denied is exit 1, so that a shell can ask; the minimum itself is allowed."""
    result = run("check", "ada", "--minimum", minimum)
    assert code == result.exit_code
    assert result.stdout.startswith(f"{word}: ada has $0.00500000 (500,000 µ¢) available")


def test_check_leaves_the_default_minimum_to_the_daemon(run, client):
    """Without --minimum none is sent, so the daemon's own default holds."""
    run("check", "ada")
    assert [("check", "ada", None)] == client.calls


def test_check_denied_says_what_is_missing(run, client):
    """A denial names the shortfall, which is the least top-up that helps."""
    assert "$0.00000001 (1 µ¢) too little" in run("check", "ada", "--minimum", "500_001").stdout


def test_charge_sends_what_it_was_given(run, client):
    """Cost, service, labels, request id and policy reach the daemon as they were typed."""
    options = ["--service", "chat", "--label", "a=1", "--label", "b=x=y", "--request-id", "r1", "--reject-overdraft"]
    result = run("charge", "ada", "0.0005usd", *options)
    more = {"service": "chat", "labels": {"a": "1", "b": "x=y"}, "request_id": "r1", "reject_overdraft": True}
    assert [("record_cost", "ada", 50_000, more)] == client.calls
    assert "charged ada $0.00050000 (50,000 µ¢)\nbalance $0.00500000 (500,000 µ¢), request id r1\n" == result.stdout


def test_charge_makes_a_request_id(run, client):
    """Without --request-id a new one is made before the call, so that it is known whatever becomes of the call."""
    run("charge", "ada", "5")
    run("charge", "ada", "5")
    first, second = (call[3]["request_id"] for call in client.calls)
    assert first
    assert first != second


def test_a_replay_says_that_nothing_was_charged(run, client):
    """A repeated request id must not look like a second charge."""
    client.replayed = True
    assert "replayed: already recorded, nothing charged" in run("charge", "ada", "5", "--request-id", "r1").stdout
    assert "replayed: already recorded, nothing added" in run("fund", "ada", "5", "--request-id", "r1").stdout


def test_fund_adds(run, client):
    """An amount is added to the funding."""
    result = run("fund", "ada", "$20", "--request-id", "pay-1", "--label", "via=card")
    more = {"expire_time": None, "priority": 0, "label": "", "request_id": "pay-1", "labels": {"via": "card"}}
    assert [("record_funding", "ada", 2_000_000_000, more)] == client.calls
    assert "funded ada with $20.00000000" in result.stdout


def test_fund_updates_a_total(run, client):
    """--from and --to set a new total on condition of the old one."""
    result = run("fund", "ada", "--from", "20usd", "--to", "35usd", "--request-id", "p")
    assert [("update_funding", "ada", 2 * 10**9, 35 * 10**8, {"request_id": "p", "labels": {}})] == client.calls
    assert "from $20.00000000 (2,000,000,000 µ¢) to $35.00000000" in result.stdout


@pytest.mark.parametrize(
    "arguments", [(), ("--from", "1"), ("--to", "1"), ("5", "--from", "1", "--to", "2"), ("5", "--to", "2")]
)
def test_fund_takes_one_form_only(run, client, arguments):
    """Adding and replacing are not mixed: it must be clear what is meant before money moves."""
    result = run("fund", "ada", *arguments)
    assert (2, []) == (result.exit_code, client.calls)
    assert "both --from and --to" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("charge", "ada", "1.5"), "COST"),
        (("charge", "ada", "5", "--label", "oops"), "--label"),
        (("charge", "ada", "5", "--label", "=x"), "--label"),
        (("charge", "ada", "5", "--label", "a=1", "--label", "a=2"), "--label"),
        (("fund", "ada", "abc"), "AMOUNT"),
        (("fund", "ada", "--from", "x", "--to", "1"), "--from"),
        (("fund", "ada", "--from", "1", "--to", "x"), "--to"),
        (("check", "ada", "--minimum", "$"), "--minimum"),
        (("check", "ada", "--minimum", "1", "--service", "scan", "--usage", "pages=1"), "--minimum"),
        (("check", "ada", "--service", "scan"), "--service"),
        (("check", "ada", "--usage", "pages=1"), "--service"),
        (("charge", "ada"), "COST"),
        (("charge", "ada", "5", "--service", "scan", "--usage", "pages=1"), "COST"),
        (("charge", "ada", "--usage", "pages=1"), "--service"),
        (("charge", "ada", "5", "--model", "large"), "--model"),
        (("charge", "ada", "--service", "scan", "--usage", "pages"), "--usage"),
        (("charge", "ada", "--service", "scan", "--usage", "=3"), "--usage"),
        (("charge", "ada", "--service", "scan", "--usage", "pages=1.5"), "--usage"),
        (("charge", "ada", "--service", "scan", "--usage", f"pages={'9' * 5_000}"), "--usage"),
        (("charge", "ada", "--service", "scan", "--usage", "pages=1", "--usage", "pages=2"), "--usage"),
        (("quote", "ada", "scan"), "METER=UNITS"),
        (("quote", "ada", "scan", "pages"), "METER=UNITS"),
        (("prices", "load"), "FILE"),
        (("prices", "import", "litellm"), "FILE"),
        (("prices", "import", "nobody"), "SOURCE"),
        (("check", "ada", "--timeout", "0"), "--timeout"),
        (("entries", "ada", "--limit", "0"), "--limit"),
        (("balance",), "USER"),
        (("nonsense",), "nonsense"),
    ],
    ids=" ".join,
)
def test_usage_errors_name_the_argument(run, client, arguments, name):
    """A bad argument exits 2, is named, and nothing is sent."""
    result = run(*arguments)
    assert (2, []) == (result.exit_code, client.calls)
    assert name in result.stderr


def test_balance_shows_dollars_and_microcents(run, client):
    """Every amount is shown in both units; those that most users never have only when they are not 0."""
    client.balance = balance(funded=500_000, spent=600_000, version=7)
    lines = [line.split() for line in run("balance", "ada").stdout.splitlines()]
    assert ["balance", "-$0.00100000", "-100,000", "µ¢"] in lines
    assert ["entries", "7"] in lines
    assert not [line for line in lines if line[0] in {"held", "lapsed", "credit", "unlimited"}]
    client.balance = balance(held_microcents=5, unlimited=True)
    lines = [line.split() for line in run("balance", "ada").stdout.splitlines()]
    assert ["held", "$0.00000005", "5", "µ¢"] in lines
    assert ["unlimited", "yes"] in lines


def test_entries_are_limited(run, client):
    """20 entries by default, newest first; --limit, --all and --oldest-first change that, page by page."""
    client.rows = [entry(version, -version) for version in range(1, 31)]
    versions = [json.loads(line)["version"] for line in run("entries", "ada", "--json").stdout.splitlines()]
    assert [str(version) for version in range(30, 10, -1)] == versions
    assert 1_000 == len(run("entries", "ada", "--limit", "1000", "--json").stdout.splitlines()) + 970
    assert 30 == len(run("entries", "ada", "--all", "--json").stdout.splitlines())
    assert '"version": "1"' in run("entries", "ada", "--oldest-first", "--limit", "1", "--json").stdout
    assert [20, 1_000, 1_000, 1] == [call[3] for call in client.calls]


def test_entries_are_not_truncated_in_a_pipe(run, client):
    """A piped table keeps every character and has neither colors nor trailing blanks."""
    client.rows = [entry(1, -50_000, service="s" * 64, labels={"key": "v" * 256}, request_id="r" * 64)]
    result = run("entries", "ada")
    row = next(line for line in result.stdout.splitlines() if "cost" in line)
    assert f"-$0.00050000   -50,000 µ¢     $0.00000000   {'s' * 64}   key={'v' * 256}   {'r' * 64}" in row
    assert "2026-11-24 12:00:01" in row
    assert "\x1b" not in result.stdout
    assert [] == [line for line in result.stdout.splitlines() if line != line.rstrip()]


def test_text_from_outside_is_shown_as_it_is(run, client):
    """Brackets and colons in names are not taken for markup."""
    client.rows = [entry(1, -1, service="[red]x[/red]", labels={"a": ":smile:"})]
    stdout = run("entries", "ada").stdout
    assert "[red]x[/red]" in stdout
    assert ":smile:" in stdout


def test_no_entries_is_said(run, client):
    """An empty ledger is a sentence for people and nothing at all for programs."""
    assert "ada has no entries\n" == run("entries", "ada").stdout
    assert "" == run("entries", "ada", "--json").stdout


def test_address_and_timeout(run, client, monkeypatch):
    """The daemon's address comes from --address, else METERD_ADDRESS, else it is the default."""
    run("balance", "ada")
    assert ("127.0.0.1:50051", 10.0) == (client.address, client.timeout_seconds)
    monkeypatch.setenv("METERD_ADDRESS", "unix:/run/m.sock")
    run("balance", "ada", "--timeout", "1.5")
    assert ("unix:/run/m.sock", 1.5) == (client.address, client.timeout_seconds)
    run("balance", "ada", "--address", "localhost:1")
    assert "localhost:1" == client.address


def test_json_follows_protobuf(run, client):
    """An int64 is a string, a time is RFC 3339 in UTC, and the names are the contract's."""
    recorded = json.loads(run("charge", "ada", "50_000", "--request-id", "r1", "--label", "a=1", "--json").stdout)
    assert {
        "user_id": "ada",
        "version": "2",
        "kind": "COST",
        "amount_microcents": "-50000",
        "balance_microcents": "0",
        "request_id": "r1",
        "service": "",
        "labels": {"a": "1"},
        "occur_time": None,
        "record_time": "2026-11-24T12:00:02.000002Z",
        "usage": None,
        "rate_card": None,
        "reservation": None,
        "held_microcents": "0",
        "overrun": False,
        "late": False,
        "draws": [],
        "expire_time": None,
        "priority": "0",
        "label": "",
        "policy": None,
        "reversed_version": "0",
        "reversed_microcents": "0",
    } == recorded["entry"]
    assert ("500000", False, False) == (
        recorded["balance"]["balance_microcents"],
        recorded["balance"]["unlimited"],
        recorded["replayed"],
    )


def test_json_of_each_command_is_one_object(run, client):
    """Every command prints the fields of the client's own answer."""
    checked = json.loads(run("check", "ada", "--minimum", "600_000", "--json").stdout)
    assert {"allowed", "available_microcents", "shortfall_microcents", "balance"} == checked.keys()
    assert (False, "100000") == (checked["allowed"], checked["shortfall_microcents"])
    assert meterd.Balance.__dataclass_fields__.keys() == json.loads(run("balance", "ada", "--json").stdout).keys()
    assert {"entry", "balance", "replayed"} == json.loads(run("fund", "ada", "5", "--json").stdout).keys()


def test_version(run):
    """The command and the option print the same version."""
    assert f"meterd {meterd.__version__}\n" == run("version").stdout == run("--version").stdout


COMMANDS = ["serve", "check", "charge", "quote", "fund", "balance", "entries", "demo", "version"]
COMMANDS += ["reserve", "capture", "release", "extend", "grants", "policy", "reverse"]
PRICES_COMMANDS = ["prices load", "prices check", "prices list", "prices show", "prices import"]


@pytest.mark.parametrize("command", COMMANDS + PRICES_COMMANDS)
def test_help_has_examples(run, command):
    """Each command's help stands alone: it says what it does and shows how."""
    result = run(*command.split(), "--help")
    assert 0 == result.exit_code
    assert f"Examples:\n    meterd {command}" in result.stdout


def test_help_explains_amounts_and_exit_codes(run):
    """The help of the whole says how to write money and what an exit code means."""
    stdout = run("--help").stdout
    assert "1.25usd" in stdout
    assert "130  interrupted (Ctrl-C)" in stdout


def test_entries_fit_a_narrow_terminal(run, client, monkeypatch):
    """On a terminal without room for the table an entry takes two lines, with nothing left out."""
    monkeypatch.setattr(output, "console", lambda: Console(width=80, color_system=None, markup=False))
    client.rows = [entry(1, -50_000, after=-7, service="chat", labels={"b": "2", "a": "1"}, request_id="r1")]
    assert [
        "     1  2026-11-24 12:00:01  cost           -$0.00050000            -50,000 µ¢",
        "        balance -$0.00000007  chat  a=1 b=2  r1",
    ] == run("entries", "ada").stdout.splitlines()


def test_an_argument_that_is_not_text_is_refused(run, client):
    """Bytes that are not UTF-8 cannot be a user's name."""
    client.error = UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed")
    result = run("balance", "\udcff")
    assert (2, "meterd: an argument is not UTF-8\n") == (result.exit_code, result.stderr)
