"""The same request_id with the same request: the same entry, byte for byte, and nothing charged again."""

import asyncio
from itertools import pairwise

import grpc
import pytest

from meterd.v1 import metering_pb2

from .house import refused

FULL = {
    "request_id": "job-1",
    "cost_microcents": 7,
    "service": "chat",
    "labels": {"b": "2", "a": "1", "c": "3"},
    "overdraft_policy": metering_pb2.OVERDRAFT_POLICY_REJECT,
    "occur_time": {"seconds": 1_700_000_000, "nanos": 123_456_000},
}


def _bytes(message):
    return message.SerializeToString(deterministic=True)


async def test_a_replayed_cost(house):
    """The entry is the original one although money moved since; the balance is the one of now."""
    await house.fund(amount_microcents=100)
    first = await house.cost(**FULL)
    house.now_us += 1_000_000
    await house.fund(amount_microcents=50)
    again = await house.cost(**FULL)
    assert (False, True) == (first.replayed, again.replayed)
    assert _bytes(first.entry) == _bytes(again.entry)
    assert (3, 143) == (again.balance.version, again.balance.balance_microcents)
    assert again.balance == await house.balance()


@pytest.mark.parametrize(
    "how", [{"amount_microcents": 9}, {"update": {"new_amount_microcents": 9}}], ids=["amount", "update"]
)
async def test_a_replayed_funding(house, how):
    """A funding is replayed too, and an update even after its old total stopped being true."""
    first = await house.fund(request_id="pay-1", labels={"k": "v"}, **how)
    await house.fund(amount_microcents=50)
    again = await house.fund(request_id="pay-1", labels={"k": "v"}, **how)
    assert (False, True) == (first.replayed, again.replayed)
    assert _bytes(first.entry) == _bytes(again.entry)
    assert 59 == again.balance.funded_microcents


async def test_a_replay_after_the_money_is_gone(house):
    """A cost that was covered when it was recorded is answered again when it no longer would be."""
    await house.fund(amount_microcents=7)
    first = await house.cost(**FULL)
    again = await house.cost(**FULL)
    assert (True, _bytes(first.entry)) == (again.replayed, _bytes(again.entry))


async def test_the_ledger_lists_the_same_bytes(house):
    """An entry is the same message wherever it is read, and in either order."""
    answers = [await house.fund(amount_microcents=100), await house.cost(**FULL)]
    expected = [_bytes(answer.entry) for answer in answers]
    assert expected == [_bytes(entry) for entry in (await house.list(order_by="version")).entries]
    assert expected[::-1] == [_bytes(entry) for entry in (await house.list()).entries]


async def test_what_is_compared_is_what_was_asked(house):
    """Nanoseconds that are not kept, the order of labels and the default policy's two names make no difference."""
    await house.fund(amount_microcents=100)
    await house.cost(**FULL)
    again = FULL | {
        "labels": dict(sorted(FULL["labels"].items())),
        "occur_time": {"seconds": 1_700_000_000, "nanos": 123_456_999},
    }
    assert (await house.cost(**again)).replayed
    plain = {"request_id": "job-2", "cost_microcents": 7}
    await house.cost(**plain)
    assert (await house.cost(**plain, overdraft_policy=metering_pb2.OVERDRAFT_POLICY_ALLOW)).replayed


async def test_in_flight_twice(house):
    """When the same request is under way many times at once, one is recorded and all get its entry."""
    answers = [await call for call in [house.cost(request_id="once", cost_microcents=3) for _ in range(50)]]
    assert 1 == len({_bytes(answer.entry) for answer in answers})
    assert 1 == [answer.replayed for answer in answers].count(False)
    assert (1, -3) == ((balance := await house.balance()).version, balance.balance_microcents)


async def test_different_requests_in_flight_with_one_id(house):
    """Of two different requests with one id under way at once, one is recorded and the other refused."""
    calls = [asyncio.ensure_future(house.cost(request_id="once", cost_microcents=cost)) for cost in (3, 4)]
    done, _ = await asyncio.wait(calls)
    failed = [call for call in done if call.exception()]
    assert 1 == len(failed)
    assert grpc.StatusCode.ALREADY_EXISTS == (await refused(failed[0])).code
    assert 1 == (await house.balance()).version


async def test_record_times_increase(house):
    """Along one user's versions time never stands still nor goes back, though the clock does."""
    for step_us in (0, 0, -(10**13), 5, 10**6):
        house.now_us += step_us
        await house.fund()
    times = [entry.record_time.ToNanoseconds() for entry in (await house.list(order_by="version")).entries]
    assert 5 == len(times)
    assert all(earlier < later for earlier, later in pairwise(times))
