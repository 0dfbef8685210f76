"""What a daemon does in the background, a step at a time."""

import pytest

from audit.ledgers import MemoryLedger
from meterd_server.audit import DriftWatch, watch
from meterd_server.errors import StoreUnavailable
from rules.commands import cost


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Have a step take ten entries about, so that one user takes several."""
    monkeypatch.setattr(watch, "ENTRIES_A_STEP", 10)
    monkeypatch.setattr(watch, "_USERS_A_PAGE", 1)


@pytest.fixture
def ledger():
    """Return a ledger that adds up, of several users."""
    return MemoryLedger()


@pytest.fixture
def told():
    """Return what was told: one element for each time."""
    return []


@pytest.fixture
def watching(ledger, told):
    """Return a watch on the ledger."""
    return DriftWatch(ledger, lambda: told.append("drift"))


async def a_round(watching):
    """Go on to the end of a round; return how many steps it took."""
    steps = 1
    while await watching.step():
        steps += 1
        assert steps < 100
    return steps


async def test_nothing_to_find(watching, told, caplog):
    """Rounds over a ledger that adds up find nothing, in steps that are bounded."""
    assert 3 <= await a_round(watching) == await a_round(watching)
    assert ([], [], None) == (told, caplog.messages, watching.drift)


async def test_an_account_that_differs(ledger, watching, told, caplog):
    """The first difference is one line in the log, with whose and what; health is told once, and the rest is looked at, too."""
    ledger.replace_account(spent_microcents=0)
    ledger.replace(1, "bob", balance_microcents=0)
    await a_round(watching)
    assert ["drift"] == told
    assert ("ada", 21) == watching.drift[:2]
    (line,) = caplog.messages
    assert "user 'ada', version 21: balance_microcents" in line
    assert ["ERROR"] == [record.levelname for record in caplog.records]


async def test_once_a_round(ledger, watching, told, caplog):
    """What is still so in the next round is in the log again; health does not change."""
    ledger.replace(3, balance_microcents=0)
    await a_round(watching)
    await a_round(watching)
    assert (["drift"], 2) == (told, len(caplog.messages))


async def test_found_later(ledger, watching, told):
    """What is damaged after it was looked at is found in the next round."""
    await a_round(watching)
    ledger.replace(20, amount_microcents=-1)
    await a_round(watching)
    assert (["drift"], 20) == (told, watching.drift.version)


async def test_changes_meanwhile(ledger, watching, told):
    """Entries that come while an account is under way are none of its business."""
    assert await watching.step()
    more = MemoryLedger([(0, cost("ada", 1, f"later {number}")) for number in range(5)])
    ledger.logs["ada"] += [each._replace(version=21 + each.version) for each in more.logs["ada"]]
    await a_round(watching)
    assert [] == told


async def test_a_lost_entry(ledger, watching, told):
    """An account with more versions than entries differs."""
    ledger.logs["bob"].clear()
    await a_round(watching)
    assert (["drift"], "version") == (told, watching.drift.what)


async def test_a_store_that_fails(ledger, watching, told, monkeypatch):
    """A read that fails is no drift; the account is begun anew when it can be read again."""
    assert await watching.step()

    async def fail(*_, **__):
        raise StoreUnavailable("gone")

    with monkeypatch.context() as context:
        context.setattr(ledger, "entries", fail)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await watching.step()
    ledger.replace(2, balance_microcents=0)
    await a_round(watching)
    assert (["drift"], 2) == (told, watching.drift.version)


@pytest.mark.parametrize("is_told_by_the_store", [False, True])
async def test_what_cannot_be_read(ledger, watching, told, monkeypatch, is_told_by_the_store):
    """A row that cannot be understood is drift, not a failure that passes; the other accounts are looked at."""
    look = ledger.entries
    looked = []

    async def read(user_id, **options):
        looked.append(user_id)
        if user_id == "ada":
            error = ValueError("no JSON")
            if is_told_by_the_store:
                raise StoreUnavailable("no JSON") from error
            raise error
        return await look(user_id, **options)

    monkeypatch.setattr(ledger, "entries", read)
    await a_round(watching)
    assert (["drift"], "ada", 1, "no JSON") == (told, *watching.drift[:2], watching.drift.stored)
    assert "bob" in looked


async def test_accounts_that_cannot_be_read(ledger, watching, told, monkeypatch):
    """The same for an account: the round ends, and the next one begins with the first."""

    async def fail(*_):
        raise KeyError("no state")

    with monkeypatch.context() as context:
        context.setattr(ledger, "users", fail)
        assert not await watching.step()
    assert (["drift"], "the accounts after None") == (told, watching.drift.what)
    assert await watching.step()
