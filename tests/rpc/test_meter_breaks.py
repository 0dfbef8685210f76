"""Sessions whose stream, store or server goes away: what was reported is paid, and the rest released or charged as asked."""

import asyncio

import grpc
import pytest

from meterd.v1 import account_pb2, reservation_pb2
from meterd_server.errors import StoreUnavailable

from .house import refused
from .metering import Session, not_held, until

Code = grpc.StatusCode
State = account_pb2.ReservationState
Kind = account_pb2.EntryKind
FLOOR = account_pb2.ON_EXPIRY_CAPTURE_FLOOR


@pytest.mark.parametrize(
    ("terms", "reported", "costs"),
    [
        ({}, 30, 30),
        ({}, 0, 0),
        ({"on_expiry": FLOOR, "floor_microcents": 80}, 30, 80),
        ({"on_expiry": FLOOR, "floor_microcents": 80}, 90, 90),
    ],
    ids=["release", "release of all", "floor", "more than the floor"],
)
async def test_a_stream_that_breaks(funded, session, terms, reported, costs):
    """What was reported is paid, and the rest released or charged up to the floor, at once and by one entry."""
    await session.open(request_id="s", **terms)
    await session.report(reported)
    session.call.cancel()
    balance = await until(funded, not_held)
    assert 1_000 - costs == balance.balance_microcents
    newest = (await funded.list(page_size=1)).entries[0]
    assert (Kind.ENTRY_KIND_EXPIRY, State.RESERVATION_STATE_EXPIRED) == (newest.kind, newest.reservation.state)
    assert 0 == (await funded.after(10_000)).reservations
    assert balance.version == (await funded.balance()).version
    assert "RESERVATION_CLOSED" == (await refused(Session(funded).open(request_id="s", **terms))).reason


async def test_a_stream_that_breaks_during_a_report(funded, session):
    """What was reported is paid, even if the caller is gone before the answer."""
    await session.open()
    funded.store.commits_allowed.clear()
    funded.store.commit_begun.clear()
    await session.call.write(reservation_pb2.MeterRequest(report={"cost_microcents": 40}))
    await funded.store.commit_begun.wait()
    session.call.cancel()
    await session.call.code()
    funded.store.commits_allowed.set()
    assert 960 == (await until(funded, not_held)).balance_microcents


async def test_a_stream_that_breaks_during_its_opening(funded, session):
    """A session whose caller is gone before it was open holds nothing."""
    funded.store.commits_allowed.clear()
    funded.store.commit_begun.clear()
    await session.call.write(reservation_pb2.MeterRequest(open={"user_id": "ada", "slice_microcents": 9}))
    await funded.store.commit_begun.wait()
    session.call.cancel()
    await session.call.code()
    funded.store.commits_allowed.set()
    balance = await until(funded, lambda balance: balance.version == 3)
    assert (0, 1_000) == (balance.held_microcents, balance.available_microcents)


async def test_going_on_with_a_session(funded, session):
    """Opening again under its id goes on with a session that is open; what was reported is not charged again."""
    terms = {"request_id": "s", "on_expiry": FLOOR, "floor_microcents": 50}
    await session.open(**terms)
    await session.report(30, request_id="first")
    again = Session(funded)
    granted = await again.open(**terms)
    assert (100, 30) == (granted.granted_microcents, granted.reservation.captured_microcents)
    granted = await again.report(30, request_id="first")
    assert (100, 30, 970) == (
        granted.granted_microcents,
        granted.reservation.captured_microcents,
        granted.balance.balance_microcents,
    )
    # The stream that nobody uses any more ends, and takes nothing from who went on.
    session.call.cancel()
    await session.call.code()
    assert 100 == (await again.report(1)).granted_microcents
    assert 969 == (await again.close()).balance.balance_microcents


async def test_a_server_that_leaves(funded, session):
    """A server that stops leaves sessions open, for their callers to go on with elsewhere; if they do not, they expire."""
    await session.open()
    await session.report(10)
    await funded.server.leave()
    assert "STORE_UNAVAILABLE" == (await refused(session.call.read())).reason
    assert 100 == (await funded.balance()).held_microcents
    assert "STORE_UNAVAILABLE" == (await refused(Session(funded).open())).reason
    assert 1 == (await funded.after(301)).reservations


@pytest.fixture
async def on_disk(open_house, tmp_path):
    """Fund ada with 1,000 in a ledger that outlives a failure of its store."""
    house = await open_house(path=str(tmp_path / "ledger.sqlite3"))
    await house.fund(amount_microcents=1_000)
    return house


async def test_a_store_that_fails(on_disk):
    """When the outcome is unknown the stream ends, and the session can be gone on with, with the same report."""
    session = Session(on_disk)
    await session.open(request_id="s")
    await session.report(1)
    on_disk.store.error = StoreUnavailable("disk")
    assert "STORE_UNAVAILABLE" == (await refused(session.report(10, request_id="r"))).reason
    await on_disk.until_serving()
    again = Session(on_disk)
    await again.open(request_id="s")
    assert 989 == (await again.report(10, request_id="r")).balance.balance_microcents


async def test_a_store_that_fails_when_a_stream_breaks(on_disk):
    """What could not be settled at once is settled when the store is back."""
    session = Session(on_disk)
    await session.open(on_expiry=FLOOR, floor_microcents=5)
    on_disk.store.error = StoreUnavailable("disk")
    session.call.cancel()
    assert 995 == (await until(on_disk, not_held)).balance_microcents


async def test_many_sessions_on_one_user(funded):
    """Sessions of one user share what there is, and all of it is accounted for."""

    async def work(number):
        session = Session(funded)
        await session.open(20, request_id=f"s{number}")
        for _ in range(3):
            await session.report(2)
        await (session.close() if number % 2 else asyncio.sleep(0))
        session.call.cancel()

    await asyncio.gather(*(work(number) for number in range(20)))
    balance = await until(funded, not_held)
    assert (880, 880) == (balance.balance_microcents, balance.available_microcents)
