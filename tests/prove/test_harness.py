"""The audit notices what it is there to notice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import meterd
from prove.harness import USERS, Load, Operation, audit

USER = USERS[0]
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class FakeDaemon:
    """Answers reads from a list of entries of one user and a balance that follows from them."""

    def __init__(self, entries):
        self.entries = entries
        self.funded_microcents = sum(entry.amount_microcents for entry in entries if entry.amount_microcents > 0)
        self.spent_microcents = -sum(entry.amount_microcents for entry in entries if entry.amount_microcents <= 0)

    async def list_entries(self, user_id, **_):
        for entry in self.entries if user_id == USER else []:
            yield entry

    async def get_balance(self, user_id):
        funded, spent = (self.funded_microcents, self.spent_microcents) if user_id == USER else (0, 0)
        left = funded - spent
        version = len(self.entries) if user_id == USER else 0
        return meterd.Balance(user_id, left, 0, left, funded, spent, 0, 0, False, version)


def _entry(version, amount, after):
    kind = meterd.EntryKind.FUNDING if amount > 0 else meterd.EntryKind.COST
    time = BEGAN + timedelta(microseconds=version)
    return meterd.Entry(USER, version, kind, amount, after, f"r{version}", "", {}, None, time)


@pytest.fixture
def story():
    """A load of four acknowledged operations, and the daemon that holds them."""
    entries = [_entry(1, 50, 50), _entry(2, -20, 30), _entry(3, 0, 30), _entry(4, -40, -10)]
    load = Load(seed=0)
    for entry in entries:
        load.acknowledged[Operation(USER, entry.request_id, entry.amount_microcents)] = entry
    return load, FakeDaemon(entries)


async def test_a_true_ledger_passes(story):
    """A ledger that holds exactly what was acknowledged is right."""
    load, daemon = story
    await audit(daemon, load)


def _forget_last(entries):
    entries.pop()


def _double(entries):
    entries.append(replace(entries[-1], version=5, record_time=BEGAN + timedelta(seconds=1)))


def _change(field, value):
    def change(entries):
        entries[1] = replace(entries[1], **{field: value})

    change.__name__ = field
    return change


def _swap(entries):
    entries[0], entries[1] = entries[1], entries[0]


DAMAGES = [
    *(_forget_last, _double, _swap),
    *(_change("version", 3), _change("amount_microcents", -21), _change("balance_microcents", 31)),
    *(_change("service", "other"), _change("labels", {"k": "v"}), _change("request_id", "other")),
    *(_change("record_time", BEGAN), _change("record_time", BEGAN + timedelta(microseconds=1))),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
async def test_a_damaged_ledger_is_noticed(story, damage):
    """An entry that is missing, doubled, moved or changed in any field fails the audit."""
    load, daemon = story
    damage(daemon.entries)
    with pytest.raises(AssertionError):
        await audit(daemon, load)


@pytest.mark.parametrize("total", ["funded_microcents", "spent_microcents"])
async def test_a_wrong_balance_is_noticed(story, total):
    """A total that is off by one microcent fails the audit."""
    load, daemon = story
    setattr(daemon, total, getattr(daemon, total) + 1)
    with pytest.raises(AssertionError):
        await audit(daemon, load)


async def test_an_entry_nobody_sent_is_noticed(story):
    """An entry that belongs to no operation fails the audit; one of unknown outcome may be there."""
    load, daemon = story
    operation, _ = load.acknowledged.popitem()
    with pytest.raises(AssertionError):
        await audit(daemon, load)
    load.unknown.add(operation)
    await audit(daemon, load)
