import sys
from dataclasses import replace

import pytest

import meterd
from meterd_server.cli.demo import audit, report
from meterd_server.cli.demo.scenario import Story
from meterd_server.cli.output import show

from .conftest import balance, entry

CHAT_USAGE = meterd.Usage("mistral", "mistral-large-latest", {"input_tokens": 10, "output_tokens": 2})
SCAN_USAGE = meterd.Usage("aws-textract", "detect-text", {"pages": 1})


@pytest.fixture
def account():
    """Return a user who paid, chatted and scanned, with everything adding up."""
    chat, scan = 10 * 200 + 2 * 600, 150_000
    entries = (
        entry(1, 10**8, after=10**8),
        entry(2, -chat, after=10**8 - chat, service="mistral", usage=CHAT_USAGE),
        entry(3, -scan, after=10**8 - chat - scan, service="aws-textract", usage=SCAN_USAGE),
    )
    return audit.Account(entries, balance(funded=10**8, spent=chat + scan, version=3))


def test_prices_are_the_known_ones(capsys):
    """The demo charges what the file of cards says that comes with the daemon, and shows it."""
    show(report.prices_table())
    shown = [line.split()[-2:] for line in capsys.readouterr().out.splitlines() if line.endswith("µ¢")]
    assert [["200", "µ¢"], ["600", "µ¢"], ["400", "µ¢"], ["150,000", "µ¢"]] == shown


def test_a_ledger_that_adds_up_has_no_problems(account):
    """Entries that explain the balance, and are priced right, pass."""
    assert [] == audit.problems(account)


@pytest.mark.parametrize(
    "name", ["balance_microcents", "funded_microcents", "spent_microcents", "residue_picocents", "version"]
)
def test_a_balance_that_is_off_by_one_is_found(account, name):
    """A single microcent, or a single entry, is noticed."""
    wrong = replace(account.balance, **{name: getattr(account.balance, name) + 1})
    assert 1 == len(audit.problems(replace(account, balance=wrong)))


@pytest.mark.parametrize("name", ["version", "balance_microcents"])
def test_an_entry_that_is_off_by_one_is_found(account, name):
    """A gap in the versions or a wrong running balance is noticed."""
    first, *rest = account.entries
    wrong = replace(first, **{name: getattr(first, name) + 1})
    assert 1 == len(audit.problems(replace(account, entries=(wrong, *rest))))


def test_a_wrong_price_is_found(account):
    """A cost that its own quantities do not explain is noticed."""
    *rest, last = account.entries
    assert [f"ada: cost of entry 3 is 150000, but the entries say {2 * 150_000}"] == audit.problems(
        replace(account, entries=(*rest, replace(last, usage=replace(SCAN_USAGE, quantities={"pages": 2}))))
    )


def test_the_tables_show_the_sums(account, capsys):
    """Charges and balances end with a line for everyone together."""
    for table in (report.charges_table([account, account]), report.balances_table([account, account])):
        show(table)
    totals = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip().startswith("all")]
    assert [["all", "4", "$0.00306400", "306,400", "µ¢"]] == totals[:1]
    assert ["all", "6", "$2.00000000", "$0.00306400", "$1.99693600", "199,693,600", "µ¢"] == totals[1]


def test_only_what_was_seen_is_claimed(account):
    """A story in which nobody ran out and nothing was sent twice makes one claim only."""
    assert 1 == len(report.promises(Story(("ada",)), [account]))


def test_a_daemon_that_does_not_start_fails_the_demo(run, monkeypatch):
    """The demo exits 1 and says what it saw."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    result = run("demo")
    assert 1 == result.exit_code
    assert "meterd: demo: the daemon did not start, exit code 1" in result.stderr


def test_a_failed_demo_shows_the_daemons_words(run):
    """When the daemon cannot start, its own reason is shown."""
    result = run("demo", "--db", "/dev/null/meterd.sqlite3")
    assert 1 == result.exit_code
    assert "the daemon did not start, exit code 5" in result.stderr
    assert "the daemon's log:\nmeterd: " in result.stderr
