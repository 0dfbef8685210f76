"""When gRPC's thread leaves the processor to the event loop."""

import asyncio
import os
import threading

import pytest

from meterd_server.rpc.poller import MANY_CALLS_MIN, Poller, interrupt_others

from .house import TIMEOUT_SECONDS


@pytest.fixture
def said(monkeypatch):
    """What a poller has said so far; it looks again at every turn of the event loop."""
    monkeypatch.setattr("meterd_server.rpc.poller.LOOK_SECONDS", 0)
    return []


async def turns():
    """Let the event loop come round a few times."""
    for _ in range(3):
        await asyncio.sleep(0)


def policies():
    """Return the policies of the threads with which gRPC waits for the network."""
    return {
        os.sched_getscheduler(thread.native_id) for thread in threading.enumerate() if "_poll_wrapper" in thread.name
    }


async def until(policy):
    """Wait until the threads have a policy."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while {policy} != policies():  # noqa: ASYNC110 -- a policy tells nobody
            await asyncio.sleep(0)


async def test_many_calls(said):
    """While many calls are under way others are not interrupted, and after that they are."""
    poller = Poller(said.append)
    for _ in range(MANY_CALLS_MIN - 1):
        poller.begin()
    await turns()
    assert [] == said
    poller.begin()
    poller.begin()
    await turns()
    assert [False] == said
    for _ in range(2):
        poller.end()
    await turns()
    assert [False, True] == said
    poller.begin()
    assert [False, True, False] == said


async def test_one_call_after_the_other(said):
    """However many calls there were: it matters how many are under way at once."""
    poller = Poller(said.append)
    for _ in range(3 * MANY_CALLS_MIN):
        poller.begin()
        poller.end()
    assert [] == said


async def test_calls_under_way(house, monkeypatch):
    """A server's own thread is told, whether its calls succeed or fail."""
    monkeypatch.setattr("meterd_server.rpc.poller.LOOK_SECONDS", 0)
    assert {os.SCHED_OTHER} == policies()
    house.store.commits_allowed.clear()
    calls = [asyncio.ensure_future(house.cost(cost_microcents=number)) for number in range(1, MANY_CALLS_MIN + 1)]
    await until(os.SCHED_BATCH)
    house.store.error = OSError("disk")
    house.store.commits_allowed.set()
    await asyncio.gather(*calls, return_exceptions=True)
    await until(os.SCHED_OTHER)


def refuse(*_):
    """Do what a sandbox does."""
    raise PermissionError


@pytest.mark.parametrize(
    ("name", "stand_in"),
    [
        ("sched_setscheduler", refuse),
        ("sched_getscheduler", refuse),
        ("sched_getscheduler", lambda _: os.SCHED_IDLE),
    ],
)
@pytest.mark.usefixtures("house")
async def test_what_cannot_be(monkeypatch, name, stand_in):
    """Where a thread's policy cannot be changed, or the daemon was given one on purpose, it stays."""
    with monkeypatch.context() as patch:
        patch.setattr(os, name, stand_in)
        interrupt_others(False)
    assert {os.SCHED_OTHER} == policies()
