"""Waiting for company: when a worker's changes wait for each other, and when not."""

import asyncio

import pytest

from meterd_server.company import BUSY_SECONDS, COMPANY_CALLERS_MIN
from meterd_server.lane import BATCH_OPERATIONS_MAX
from meterd_server.model import Account
from meterd_server.workers.link import ToLedger
from rules.commands import funding

STEP_SECONDS = 0.0011
"""A little more than a worker waits for the next caller."""


@pytest.fixture
async def busy(clock, make_script):
    """Return a scripted ledger that has just had many callers, and waits not quite five steps for more."""
    script = make_script(unanswered_max=10_000, window_seconds=4.9 * STEP_SECONDS)
    _submit(script, COMPANY_CALLERS_MIN)
    assert [COMPANY_CALLERS_MIN] == _sizes(await script.turn())
    return script


def _submit(script, callers):
    for _ in range(callers):
        script.ledger.submit(funding("ada", 1))


def _sizes(frames):
    return [len(frame[2][1]) for frame in frames]


async def test_a_few_callers_do_not_wait(clock, make_script):
    """Without company nothing waits, however large the window is."""
    script = make_script(window_seconds=10)
    _submit(script, COMPANY_CALLERS_MIN - 1)
    assert [COMPANY_CALLERS_MIN - 1] == _sizes(await script.turn())


def _answer(script):
    for frame in list(script.unanswered):
        script.answer(frame, error="Overloaded")


async def test_many_callers_wait_for_each_other(busy, clock):
    """A busy worker whose frames are answered sends when nobody has come for a step."""
    _answer(busy)
    _submit(busy, 1)
    assert [] == await busy.turn()
    _submit(busy, 2)
    clock.go_on(STEP_SECONDS)
    assert [] == await busy.turn()
    clock.go_on(STEP_SECONDS)
    assert [3] == _sizes(await busy.turn())


async def test_many_callers_wait_for_those_before(busy, clock):
    """A busy worker goes on waiting, even when nobody comes, while those before are not answered: they may come again."""
    _submit(busy, 1)
    sent = []
    for _ in range(4):
        sent += await busy.turn()
        clock.go_on(STEP_SECONDS)
    assert [] == sent
    _answer(busy)
    assert [1] == _sizes(await busy.turn())


async def test_the_window_ends(busy, clock):
    """However many keep coming, the first of them waits no longer than the window."""
    sent = []
    for _ in range(5):
        _submit(busy, 1)
        sent += _sizes(await busy.turn())
        clock.go_on(STEP_SECONDS)
    assert [] == sent
    _submit(busy, 1)
    assert [6] == _sizes(await busy.turn())


async def test_a_batch_does_not_wait(busy):
    """When there is as much as a batch takes, it is sent."""
    busy.ledger.submit_all([funding("ada", 1)] * BATCH_OPERATIONS_MAX)
    assert [BATCH_OPERATIONS_MAX] == _sizes(await busy.turn())


async def test_a_look_up_does_not_wait(busy):
    """A read has nothing to share, so it is sent at once."""
    _submit(busy, 1)
    lookup = asyncio.ensure_future(busy.ledger.account("ada"))
    (frame,) = await busy.turn()
    assert ToLedger.ACCOUNTS == frame[0]
    busy.answer(frame, [tuple(Account("ada"))])
    assert Account("ada") == await lookup


async def test_company_is_forgotten(busy, clock):
    """A caller some time after the others is alone again."""
    clock.go_on(BUSY_SECONDS)
    _answer(busy)
    _submit(busy, 1)
    assert [1] == _sizes(await busy.turn())


async def test_callers_who_come_one_by_one(clock, make_script):
    """While earlier ones are unanswered, a worker tries now and then whether many come one by one."""
    script = make_script(window_seconds=4.9 * STEP_SECONDS)
    _submit(script, 1)
    assert [1] == _sizes(await script.turn())
    _submit(script, 1)
    assert [1] == _sizes(await script.turn())  # after this one it waits, once
    _submit(script, COMPANY_CALLERS_MIN)
    assert [] == await script.turn()
    clock.go_on(STEP_SECONDS)
    assert [COMPANY_CALLERS_MIN] == _sizes(await script.turn())


async def test_stopping_does_not_wait(busy):
    """A worker that stops sends what it has."""
    _submit(busy, 1)
    stopping = asyncio.ensure_future(busy.ledger.stop())
    assert [1] == _sizes(await busy.turn())
    _answer(busy)
    await stopping
