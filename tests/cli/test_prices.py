"""`meterd prices`: files that are loaded and checked, cards that are listed and shown."""

import json
from datetime import UTC, datetime

import pytest

import meterd
from meterd_server.cli.cards import from_client, to_client
from meterd_server.rate_files import SEED, load_cards

CARD = meterd.RateCard(
    service="anthropic",
    model="claude-*",
    prices_picocents={"cache_read_tokens": 3_750_000, "input_tokens": 300_000_000},
    effective_time=datetime(2026, 1, 1, tzinfo=UTC),
    version=1,
    source="the vendor's list",
    per_call_picocents=10**11,
    minimum_picocents=10**12,
    tiers=(meterd.RateTier(200_000, ("cache_read_tokens", "input_tokens"), {"input_tokens": 600_000_000}),),
)
OTHERS = [
    meterd.RateCard("anthropic", "opus", {"input_tokens": 5}, version=1),
    meterd.RateCard("scan", "", {"pages": 150_000_000_000}, version=1),
    meterd.RateCard("scan", "", {"pages": 0}, datetime(2026, 6, 1, 12, tzinfo=UTC), version=2),
]


@pytest.fixture
def bad_file(tmp_path):
    """Write a file with two problems."""
    path = tmp_path / "bad.toml"
    path.write_text('[[card]]\nservice = "a"\nprices.pages = "-1 USD"\nprices.seconds = "0.000000000000001 USD"\n')
    return path


def test_load_sends_every_card(run, client):
    """All cards of the file go to the daemon in one call, and how many are new is said."""
    result = run("prices", "load", SEED)
    assert [("put_rate_cards", [to_client(card) for card in load_cards(SEED)], False)] == client.calls
    assert f"loaded 3 cards from {SEED}, 1 of them new\n" == result.stdout
    put = json.loads(run("prices", "load", SEED, "--json").stdout)
    assert ("1", 3, "mistral") == (put["added_count"], len(put["rate_cards"]), put["rate_cards"][0]["service"])


@pytest.mark.parametrize("command", ["load", "check"])
def test_a_bad_file_names_each_line(run, client, bad_file, command):
    """Every problem is one line with file, line and reason; exit 2, and nothing is sent."""
    result = run("prices", command, bad_file)
    assert (2, "", []) == (result.exit_code, result.stdout, client.calls)
    first, second = result.stderr.splitlines()
    assert f"meterd: {bad_file}:3: '-1 USD' is negative" == first
    assert second.startswith(f"meterd: {bad_file}:4: '0.000000000000001 USD' is not a whole number of picocents")
    problems = json.loads(run("prices", command, bad_file, "--json").stderr)["error"]["problems"]
    assert [("3", str(bad_file)), ("4", str(bad_file))] == [(each["line"], each["file"]) for each in problems]


def test_a_file_that_is_not_there(run, client, tmp_path):
    """A file that cannot be read is a problem like any other."""
    result = run("prices", "check", tmp_path / "none.toml")
    assert (2, f"meterd: {tmp_path}/none.toml:1: cannot be read: No such file or directory\n") == (
        result.exit_code,
        result.stderr,
    )


def test_check_asks_nobody(run, client, monkeypatch):
    """A dry run needs no daemon, even where one is set; with --address it asks that one, and still loads nothing."""
    monkeypatch.setenv("METERD_ADDRESS", "localhost:1")
    assert f"{SEED} is right: 3 cards\n" == run("prices", "check", SEED).stdout
    assert [] == client.calls
    result = run("prices", "check", SEED, "--address", "localhost:2")
    assert f"{SEED} is right: 3 cards, 1 of them new to localhost:2\n" == result.stdout
    assert ("localhost:2", True) == (client.address, client.calls[0][2])


def test_list_shows_every_price(run, client):
    """Each price is shown as people write it and in microcents a unit; what else a card has is hinted at."""
    client.cards = [CARD, *OTHERS]
    rows = [
        [cell.strip() for cell in line.split("   ") if cell.strip()]
        for line in run("prices", "list").stdout.splitlines()
    ]
    assert [
        ["anthropic", "claude-*", "1", "from 2026-01-01", "cache_read_tokens", "0.0375 USD per 1_000_000", "3.75 µ¢"],
        ["input_tokens", "3.00 USD per 1_000_000", "300 µ¢"],
    ] == [rows[3][:-1], rows[4]]
    assert "a price per call, a minimum, 1 tier" == rows[3][-1]
    assert ["scan", "2", "from 2026-06-01T12:00:00Z", "pages", "free", "0 µ¢"] == rows[7]
    assert ["scan"] == [
        json.loads(line)["service"] for line in run("prices", "list", "scan", "--json").stdout.splitlines()
    ][:1]


def test_an_empty_list_says_what_to_do(run, client):
    """No cards is a sentence for people and nothing at all for programs."""
    assert (
        "there are no rate cards for scan; meterd prices load FILE adds some\n" == run("prices", "list", "scan").stdout
    )
    assert "" == run("prices", "list", "--json").stdout


def test_show_says_everything(run, client):
    """All prices, those of a call and of large calls, date and source, of the card that counts for a model."""
    client.cards = [CARD, *OTHERS]
    shown = run("prices", "show", "anthropic", "claude-sonnet-4-5").stdout
    assert "claude-sonnet-4-5 has no card of its own; claude-* counts" in shown
    assert "anthropic claude-*, version 1, from 2026-01-01" in shown
    lines = [line.split() for line in shown.splitlines()]
    assert ["each", "call,", "on", "top", "1.00", "USD", "per", "1_000", "100,000", "µ¢"] in lines
    assert ["each", "call,", "at", "least", "0.01", "USD", "1,000,000", "µ¢"] in lines
    assert "in a call over 200,000 cache_read_tokens + input_tokens:" in shown
    assert ["input_tokens", "6.00", "USD", "per", "1_000_000", "600", "µ¢"] in lines
    assert "source: the vendor's list" in shown


def test_show_has_every_version(run, client):
    """Old versions are shown as well, for old usage keeps its price."""
    client.cards = [CARD, *OTHERS]
    shown = run("prices", "show", "scan").stdout
    assert "scan, version 1, since ever" in shown
    assert "scan, version 2, from 2026-06-01T12:00:00Z" in shown
    versions = [json.loads(line)["version"] for line in run("prices", "show", "scan", "--json").stdout.splitlines()]
    assert ["1", "2"] == versions


def test_show_of_what_is_not_there(run, client):
    """Exit 3 says that there is no card, and which there are."""
    client.cards = [CARD, *OTHERS]
    result = run("prices", "show", "anthropic", "gpt-5")
    assert (3, "") == (result.exit_code, result.stdout)
    assert "no rate card is for anthropic gpt-5\nmeterd: anthropic has cards for claude-*, opus\n" in result.stderr


@pytest.mark.parametrize("card", [CARD, *OTHERS])
def test_cards_survive_both_ways(card):
    """A card that goes from the client to a file and back is the same."""
    assert card == to_client(from_client(card))
