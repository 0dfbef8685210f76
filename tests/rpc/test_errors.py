"""Each row of the error table, as a caller sees it."""

import asyncio
import logging

import grpc
import pytest

from meterd.v1 import metering_pb2
from meterd_server.errors import StoreUnavailable

from .house import refused

Code = grpc.StatusCode
REJECT = metering_pb2.OVERDRAFT_POLICY_REJECT


async def test_insufficient_funds(unchanged):
    """A cost that is not covered fails with what there is, what is required and what is missing."""
    refusal = await refused(unchanged.cost(cost_microcents=1_001, overdraft_policy=REJECT))
    assert (Code.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS", "meterd") == (refusal.code, refusal.reason, refusal.domain)
    assert {
        "available_microcents": "1000",
        "required_microcents": "1001",
        "shortfall_microcents": "1",
    } == refusal.metadata


async def test_a_refused_request_id_may_be_used_again(house):
    """A rejection is not recorded: the same request id works after a top-up."""
    again = {"request_id": "job-1", "cost_microcents": 700, "overdraft_policy": REJECT}
    assert "INSUFFICIENT_FUNDS" == (await refused(house.cost(**again))).reason
    await house.fund(amount_microcents=700)
    recorded = await house.cost(**again)
    assert (False, 2, 0) == (recorded.replayed, recorded.entry.version, recorded.balance.balance_microcents)


@pytest.mark.parametrize(
    "different",
    [
        {"cost_microcents": 11},
        {"service": "chat"},
        {"labels": {"k": "v"}},
        {"overdraft_policy": REJECT},
        {"occur_time": {"seconds": 1}},
    ],
    ids=lambda different: next(iter(different)),
)
async def test_request_id_reused(house, different):
    """A request id that comes back with any other field different is refused, and changes nothing."""
    await house.fund(amount_microcents=1_000)
    first = {"request_id": "job-1", "cost_microcents": 10}
    await house.cost(**first)
    refusal = await refused(house.cost(**first | different))
    assert (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED", "meterd") == (refusal.code, refusal.reason, refusal.domain)
    assert 2 == (await house.balance()).version


async def test_request_id_reused_for_another_rpc(house):
    """A request id is unique per user over all rpcs, and free for another user."""
    await house.cost(request_id="job-1")
    refusal = await refused(house.fund(request_id="job-1"))
    assert (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED") == (refusal.code, refusal.reason)
    assert 1 == (await house.fund("bob", request_id="job-1")).entry.version


async def test_funding_conflict(unchanged):
    """An update from a total that is not the account's fails with the one that is."""
    update = {"old_amount_microcents": 999, "new_amount_microcents": 2_000}
    refusal = await refused(unchanged.fund(update=update))
    assert (Code.ABORTED, "FUNDING_CONFLICT", "meterd") == (refusal.code, refusal.reason, refusal.domain)
    assert {"funded_microcents": "1000"} == refusal.metadata


async def test_overloaded(open_house):
    """What the queue has no room for is refused at once with the time to wait; what it holds is carried out."""
    house = await open_house(queued_max=2)
    house.store.commits_allowed.clear()
    under_way = asyncio.ensure_future(house.cost())
    await house.store.commit_begun.wait()
    # Two find room and wait with the first; the third, that comes when they are there, is answered now.
    waiting = [asyncio.ensure_future(house.cost(request_id=f"queued-{number}")) for number in range(2)]
    await house.until_queued(2)
    refusal = await refused(house.cost(request_id="queued-2"))
    assert (Code.RESOURCE_EXHAUSTED, "OVERLOADED", "meterd") == (refusal.code, refusal.reason, refusal.domain)
    assert refusal.retry_seconds > 0
    house.store.commits_allowed.set()
    assert [1, 2, 3] == sorted([(await each).entry.version for each in (under_way, *waiting)])
    assert 3 == (await house.balance()).version


async def test_store_unavailable(house):
    """When the store fails, everyone who waits learns that the outcome is unknown, and nothing of the store's words."""
    house.store.error = StoreUnavailable("disk I/O error in /secret/path")
    refusal = await refused(house.cost())
    assert (Code.UNAVAILABLE, "STORE_UNAVAILABLE", "meterd") == (refusal.code, refusal.reason, refusal.domain)
    assert "secret" not in repr(refusal)


async def test_an_unexpected_error_stays_inside(house, monkeypatch, caplog):
    """The text of an exception that is nobody's answer is logged and never sent; the next call works."""

    async def fail(*_args, **_options):
        raise RuntimeError("secret-4711")

    with monkeypatch.context() as broken, caplog.at_level(logging.ERROR):
        broken.setattr(house.store, "entries", fail)
        refusal = await refused(house.list())
    assert (Code.INTERNAL, "INTERNAL", "meterd") == (refusal.code, refusal.reason, refusal.domain)
    assert "secret-4711" not in repr(refusal)
    assert "secret-4711" in caplog.text
    assert 0 == len((await house.list()).entries)


async def test_an_unexpected_error_in_a_commit_stays_inside(house, caplog):
    """A commit that ends in an exception of any kind is an unknown outcome, and its text is only logged."""
    with caplog.at_level(logging.ERROR):
        house.store.error = RuntimeError("secret-4711")
        refusal = await refused(house.cost())
    assert (Code.UNAVAILABLE, "STORE_UNAVAILABLE") == (refusal.code, refusal.reason)
    assert "secret-4711" not in repr(refusal)
    assert "secret-4711" in caplog.text


async def test_a_message_names_every_bad_field(unchanged):
    """All that is wrong with a request is said at once."""
    refusal = await refused(
        unchanged.cost("", -1, request_id="a b", service="\x00", labels={"": ""}, overdraft_policy=9)
    )
    assert Code.INVALID_ARGUMENT == refusal.code
    expected = ["user_id", "request_id", "cost_microcents", "service", "labels", "overdraft_policy"]
    assert expected == refusal.fields
    assert all(field in refusal.message for field in expected)
