"""Who is told, and when, that many calls wait which nobody has seen."""

import os

import pytest

from meterd_server.ledger import Ledger
from meterd_server.rpc.admission import CALLS_UNDER_WAY_MAX, ServerCounts
from meterd_server.rpc.crowd import BUSY_SHARE_MIN, CALLS_A_LOOK, CALLS_MIN, LOOK_SECONDS, Crowd
from meterd_server.rpc.poller import interrupt_others
from meterd_server.workers.remote import RemoteLedger

from .test_poller import until


class Process:
    """A process whose clocks a test moves, with the calls that gRPC counts, and what it was told."""

    def __init__(self):
        self.seconds = self.used_seconds = 1_000.0
        self.calls = CALLS_MIN
        self.looks = self.told = 0
        self.crowd = Crowd(self.count, self.tell, clock=lambda: self.seconds, processor_clock=lambda: self.used_seconds)

    def count(self):
        """Say how many calls there are."""
        self.looks += 1
        return self.calls

    def tell(self):
        """Take in that they are many."""
        self.told += 1

    def go_on(self, calls, *, seconds=2 * LOOK_SECONDS, busy=1.0):
        """Have so many calls begin at the end of a time of which the process used a part."""
        self.seconds += seconds
        self.used_seconds += seconds * busy
        for _ in range(calls):
            self.crowd.note_call()


@pytest.fixture
def process():
    """A process that has not begun any call."""
    return Process()


def test_a_process_without_rest_and_many_calls(process):
    """It is told at every look, as long as it lasts."""
    for looks in (1, 2, 3):
        process.go_on(CALLS_A_LOOK)
        assert (looks, looks) == (process.looks, process.told)


def test_few_calls(process):
    """A process may be busy with what little there is."""
    process.calls = CALLS_MIN - 1
    process.go_on(CALLS_A_LOOK)
    assert (1, 0) == (process.looks, process.told)


def test_a_process_with_some_rest(process):
    """Whoever has time to wait for calls has seen all that there are: they are not counted."""
    process.go_on(CALLS_A_LOOK, busy=BUSY_SHARE_MIN - 0.01)
    assert 0 == process.looks
    process.go_on(CALLS_A_LOOK, busy=BUSY_SHARE_MIN + 0.01)
    assert (1, 1) == (process.looks, process.told)


def test_it_does_not_look_too_often(process):
    """Neither in less than its time nor for a few calls, but what came meanwhile counts later."""
    process.go_on(10 * CALLS_A_LOOK, seconds=LOOK_SECONDS * 0.9)
    assert 0 == process.looks
    process.go_on(1, seconds=LOOK_SECONDS * 0.2)
    assert 1 == process.looks
    process.go_on(CALLS_A_LOOK - 1, seconds=1.0)
    assert 1 == process.looks
    process.go_on(1, seconds=0.0)
    assert 2 == process.looks


def test_what_was_before_the_last_look_is_over(process):
    """A long time of work before it does not make a time of rest after it a busy one."""
    process.go_on(CALLS_A_LOOK, seconds=100.0)
    process.go_on(CALLS_A_LOOK, busy=0.1)
    assert (1, 1) == (process.looks, process.told)


@pytest.mark.parametrize("calls", [0, 1, CALLS_A_LOOK - 1])
def test_a_caller_now_and_then(process, calls):
    """Nothing is counted for a few calls."""
    process.go_on(calls, seconds=3600.0)
    assert 0 == process.looks


@pytest.fixture
def told(monkeypatch):
    """Which ledgers were told of a crowd, where servers look at every call and are always busy."""
    told = []
    for ledger in (Ledger, RemoteLedger):
        monkeypatch.setattr(ledger, "expect_company", lambda self: told.append(self))  # noqa: PLW0108 -- bound as a method
    for name, value in {"BUSY_SHARE_MIN": 0, "CALLS_A_LOOK": 1, "LOOK_SECONDS": 0}.items():
        monkeypatch.setattr(f"meterd_server.rpc.crowd.{name}", value)
    return told


async def test_a_server_without_rest(house, told, monkeypatch):
    """What waits inside gRPC makes the ledger wait for company, and gRPC's thread leave the event loop alone."""
    monkeypatch.setattr("meterd_server.rpc.crowd.CALLS_MIN", 1)
    await house.check("ada")
    assert 1 == len(told)
    await until(os.SCHED_BATCH)
    monkeypatch.setattr("meterd_server.rpc.crowd.CALLS_MIN", 2)
    await until(os.SCHED_OTHER)
    await house.check("ada")
    assert 1 == len(told)


async def test_calls_that_are_seen_anyway(house, told, monkeypatch):
    """As long as many calls are known of, nobody is told again, nor is gRPC asked."""
    monkeypatch.setattr("meterd_server.rpc.crowd.CALLS_MIN", 1)
    monkeypatch.setattr("meterd_server.rpc.poller.LOOK_SECONDS", 3600)
    try:
        for _ in range(3):
            await house.check("ada")
        assert 1 == len(told)
    finally:
        interrupt_others(True)


async def test_what_an_overload_has_left(house, told, monkeypatch):
    """Calls that gRPC ended by itself stay in its count for ever, and are no crowd."""
    calls = ServerCounts.calls
    monkeypatch.setattr(ServerCounts, "calls", lambda counts: calls(counts) + CALLS_UNDER_WAY_MAX // 2)
    for _ in range(3):
        await house.check("ada")
    assert [] == told
