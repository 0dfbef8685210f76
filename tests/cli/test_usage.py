"""Usage on the command line: charge, check, quote, and what entries and balances show of it."""

import json

import pytest
from rich.console import Console

import meterd
from meterd_server.cli import output

from .conftest import balance, entry

MISTRAL = ("--service", "mistral", "--model", "mistral-large-latest")
USED = meterd.Usage("mistral", "mistral-large-latest", {"input_tokens": 1_200, "output_tokens": 300})


def test_charge_by_usage(run, client):
    """What was used reaches the daemon as it was typed, and what it cost is what the daemon says."""
    options = ("--usage", "input_tokens=1_200", "--usage", "output_tokens=300", "--label", "a=1", "--request-id", "r1")
    result = run("charge", "ada", *MISTRAL, *options, "--reject-overdraft")
    more = {"labels": {"a": "1"}, "request_id": "r1", "reject_overdraft": True}
    quantities = {"input_tokens": 1_200, "output_tokens": 300}
    assert [("record_usage", "ada", "mistral", "mistral-large-latest", quantities, more)] == client.calls
    assert (
        "charged ada $0.00420000 (420,000 µ¢) for 1,200 input_tokens, 300 output_tokens of mistral-large-latest\n"
        "balance $0.00500000 (500,000 µ¢), request id r1\n"
    ) == result.stdout


@pytest.mark.parametrize(("funded", "code", "word"), [(420_000, 0, "allowed"), (419_999, 1, "denied")])
def test_check_by_usage(run, client, funded, code, word):
    """A check of usage exits as a check of an amount does."""
    client.balance = balance(funded=funded)
    result = run("check", "ada", *MISTRAL, "--usage", "input_tokens=1200")
    assert (code, word) == (result.exit_code, result.stdout.partition(":")[0])
    asked = {"model": "mistral-large-latest", "quantities": {"input_tokens": 1_200}}
    assert [("check_usage", "ada", "mistral", asked)] == client.calls


def test_quote_says_what_it_costs(run, client):
    """A quote shows cost, balance, how much more is affordable, and by which card."""
    result = run(
        "quote", "ada", "mistral", "--model", "large", "input_tokens=1_200", "pages=2", "--affordable", "output_tokens"
    )
    quantities = {"input_tokens": 1_200, "pages": 2}
    assert [("quote", "ada", "mistral", "large", quantities, "output_tokens")] == client.calls
    assert [
        "1,200 input_tokens, 2 pages of large: $0.00420000 (420,000 µ¢)",
        "affordable: ada has $0.00500000 (500,000 µ¢) available",
        "on top of it, ada can afford 7 output_tokens",
        "by the rate card mistral large, version 1",
    ] == result.stdout.splitlines()


def test_a_quote_that_is_too_expensive(run, client):
    """A quote that cannot be afforded is an answer all the same: exit 0."""
    client.balance = balance(funded=20_000)
    result = run("quote", "ada", "scan", "pages=3")
    assert 0 == result.exit_code
    assert (
        "too expensive: ada has $0.00020000 (20,000 µ¢) available, $0.00400000 (400,000 µ¢) too little" in result.stdout
    )


def test_a_quote_for_nobody_is_the_price(run, client):
    """Without a user nothing is said of a balance."""
    assert [
        "3 pages: $0.00420000 (420,000 µ¢)",
        "by the rate card scan, version 1",
    ] == run("quote", "", "scan", "pages=3").stdout.splitlines()


def test_a_quote_as_json(run, client):
    """The fields are those of the client's answer."""
    quote = json.loads(run("quote", "ada", "scan", "pages=3", "--json").stdout)
    assert meterd.Quote.__dataclass_fields__.keys() == quote.keys()
    assert ("420000", None, "scan") == (
        quote["cost_microcents"],
        quote["affordable_units"],
        quote["rate_card"]["service"],
    )


def test_entries_show_usage(run, client):
    """Where there is usage, the table says it; JSON has every quantity and the card."""
    client.rows = [entry(1, -420_000, service="mistral", usage=USED), entry(2, -5, service="chat")]
    shown = run("entries", "ada").stdout
    assert "mistral   1,200 input_tokens, 300 output_tokens of mistral-large-latest" in shown
    assert "about" in shown
    _, line = run("entries", "ada", "--json").stdout.splitlines()
    assert {"input_tokens": "1200", "output_tokens": "300"} == json.loads(line)["usage"]["quantities"]
    assert "1" == json.loads(line)["rate_card"]["version"]


def test_usage_fits_a_narrow_terminal(run, client, monkeypatch):
    """In two lines an entry shows its usage as well."""
    monkeypatch.setattr(output, "console", lambda: Console(width=80, color_system=None, markup=False))
    client.rows = [entry(1, -420_000, service="scan", usage=meterd.Usage("scan", "", {"pages": 3}))]
    assert "        balance $0.00000000  scan  3 pages  r1" == run("entries", "ada").stdout.splitlines()[1]


def test_a_balance_shows_its_residue(run, client):
    """What is owed below a microcent is shown, when there is any."""
    assert "residue" not in run("balance", "ada").stdout
    client.balance = balance(funded=5, residue_picocents=300_000)
    lines = [line.split() for line in run("balance", "ada").stdout.splitlines()]
    assert ["residue", "0.3", "µ¢"] in lines
