"""Calls that end early or go wrong on the way: deadlines, cancellation, our own cancellations, unknown methods, size."""

import asyncio

import grpc
import pytest

from meterd.v1 import metering_pb2

from .house import LEDGER, METERING, refused

Code = grpc.StatusCode


async def _works(house):
    """The server answers a change and a read as ever."""
    before = await house.balance("witness")
    assert before.version + 1 == (await house.fund("witness")).entry.version


@pytest.mark.parametrize("timeout_seconds", [0, -1, 1e-9])
async def test_a_deadline_that_is_past(house, timeout_seconds):
    """A call that has no time left fails as such, is recorded once or not at all, and the next one works."""
    house.store.commits_allowed.clear()
    refusal = await refused(house.cost(request_id="late", timeout_seconds=timeout_seconds))
    house.store.commits_allowed.set()
    assert Code.DEADLINE_EXCEEDED == refusal.code
    assert 1 == (await house.cost(request_id="late")).balance.version
    await _works(house)


async def test_a_deadline_during_the_commit(house):
    """A call whose time ran out during its commit is carried through: the same request again is a replay."""
    house.store.commits_allowed.clear()
    assert Code.DEADLINE_EXCEEDED == (await refused(house.cost(request_id="late", timeout_seconds=0.1))).code
    house.store.commits_allowed.set()
    assert (await house.cost(request_id="late")).replayed
    assert 1 == (await house.balance()).version
    await _works(house)


async def test_a_deadline_while_queued(house):
    """A call whose time ran out before its turn changes nothing."""
    house.store.commits_allowed.clear()
    first = asyncio.ensure_future(house.cost())
    await house.store.commit_begun.wait()
    refusal = await refused(house.cost("bob", request_id="late", timeout_seconds=0.1))
    house.store.commits_allowed.set()
    assert Code.DEADLINE_EXCEEDED == refusal.code
    await first
    again = await house.cost("bob", request_id="late")
    assert 1 == again.entry.version == (await house.balance("bob")).version


async def test_a_caller_that_hangs_up(house):
    """A call that its caller cancelled leaves a whole entry or none, and the next one works."""
    house.store.commits_allowed.clear()
    call = house.cost(request_id="gone")
    waiting = asyncio.ensure_future(call.code())
    await house.store.commit_begun.wait()
    call.cancel()
    assert Code.CANCELLED == await waiting
    house.store.commits_allowed.set()
    again = await house.cost(request_id="gone")
    assert (True, 1) == (again.replayed, (await house.balance()).version)
    await _works(house)


async def test_a_hundred_callers_that_hang_up(house):
    """However many callers give up, what they sent is recorded once or not at all, and versions have no gap."""
    calls = [house.cost(request_id=f"gone-{number}") for number in range(100)]
    await house.store.commit_begun.wait()
    for call in calls:
        call.cancel()
    again = [await call for call in [house.cost(request_id=f"gone-{number}") for number in range(100)]]
    assert list(range(1, 101)) == sorted(answer.entry.version for answer in again)
    assert (100, -1_000) == ((balance := await house.balance()).version, balance.balance_microcents)


async def test_a_cancellation_of_our_own_in_a_read(house, monkeypatch):
    """A CancelledError that is not the caller's reaches the caller as a status; gRPC itself would send none."""

    async def cancelled(*_args, **_options):
        raise asyncio.CancelledError("ours")

    with monkeypatch.context() as broken:
        broken.setattr(house.store, "entries", cancelled)
        refusal = await refused(house.list())
    assert (Code.UNAVAILABLE, "STORE_UNAVAILABLE") == (refusal.code, refusal.reason)
    assert "ours" not in repr(refusal)
    await _works(house)


async def test_a_cancellation_of_our_own_in_a_commit(house):
    """When a commit is cancelled from within, everyone who waits for it gets a status, and the server goes on."""
    house.store.error = asyncio.CancelledError("ours")
    refusal = await refused(house.cost(timeout_seconds=2))
    assert (Code.UNAVAILABLE, "STORE_UNAVAILABLE") == (refusal.code, refusal.reason)


@pytest.mark.parametrize(
    "method",
    [
        f"{METERING}/Nothing",
        f"{LEDGER}/RecordCost",
        "meterd.v1.Nothing/Check",
        "meterd.v2.MeteringService/Check",
        "x/y",
    ],
)
async def test_unknown_methods(house, method):
    """A method that is not there is UNIMPLEMENTED."""
    assert Code.UNIMPLEMENTED == (await refused(house.send(method, b""))).code
    await _works(house)


async def test_a_message_that_is_too_long(house):
    """A message over the limit is refused as such, whatever is in it; one that just fits is looked at."""
    small = metering_pb2.CheckRequest(user_id="ada").SerializeToString()
    # An unknown field of bytes: harmless filling.
    fits = small + b"\x9a\x06" + b"\x90\xfb\x03" + bytes(64_912)
    assert len(fits) < 64 * 1024
    answer = metering_pb2.CheckResponse.FromString(await house.send("Check", fits))
    assert "ada" == answer.balance.user_id
    assert Code.RESOURCE_EXHAUSTED == (await refused(house.send("Check", bytes(64 * 1024 + 1)))).code
    await _works(house)


async def test_metadata_and_unknown_fields_do_no_harm(house):
    """A newer client's fields and anyone's headers are passed over."""
    newer = metering_pb2.CheckRequest(user_id="ada").SerializeToString() + b"\xf8\x7f\x01"
    assert await house.send("Check", newer)
    headers = (("x-anything", "1"), ("x-bytes-bin", b"\xff\x00"))
    request = metering_pb2.CheckRequest(user_id="ada")
    assert not (await house.metering.Check(request, metadata=headers, timeout=20)).allowed
