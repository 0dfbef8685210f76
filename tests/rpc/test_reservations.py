"""Money before it is spent, over the wire: reserve, capture, release, extend, expire."""

import asyncio

import grpc
import pytest

from meterd.v1 import account_pb2, metering_pb2

from .house import TIMEOUT_SECONDS, refused
from .operations import brief, capture, check, cost, extend, fund, release, reserve
from .prices import card, usage

Code = grpc.StatusCode
State = account_pb2.ReservationState
Kind = account_pb2.EntryKind


def amounts(balance):
    """Return balance, held and available."""
    return balance.balance_microcents, balance.held_microcents, balance.available_microcents


async def test_reserve_and_capture(funded):
    """What is reserved is held, not spent; the final capture charges what it did cost and lets go of the rest."""
    held = await funded.reserve(amount_microcents=300, request_id="job", service="chat", labels={"team": "a"})
    assert (1_000, 300, 700) == amounts(held.balance)
    assert ("job", 2, State.RESERVATION_STATE_OPEN, 300, 300, 0) == (
        held.reservation.reservation_id,
        held.reservation.version,
        held.reservation.state,
        held.reservation.amount_microcents,
        held.reservation.held_microcents,
        held.reservation.captured_microcents,
    )
    assert (Kind.ENTRY_KIND_RESERVATION, 0, 300) == (
        held.entry.kind,
        held.entry.amount_microcents,
        held.entry.held_microcents,
    )
    assert held.entry.reservation == held.reservation
    captured = await funded.capture("job", 120)
    assert (880, 0, 880) == amounts(captured.balance)
    assert (Kind.ENTRY_KIND_CAPTURE, -120, -300, "chat") == (
        captured.entry.kind,
        captured.entry.amount_microcents,
        captured.entry.held_microcents,
        captured.entry.service,
    )
    assert (State.RESERVATION_STATE_CAPTURED, 120) == (
        captured.reservation.state,
        captured.reservation.captured_microcents,
    )


async def test_the_default_ttl_is_five_minutes(funded):
    """Without a ttl a reservation is kept for 5 minutes by the server's clock."""
    entry = (await funded.reserve()).entry
    kept_us = entry.reservation.expire_time.ToMicroseconds() - entry.record_time.ToMicroseconds()
    assert 300 * 10**6 - 1 <= kept_us <= 300 * 10**6  # an entry of the same microsecond is recorded in the next


async def test_partial_captures_and_an_overrun(funded):
    """Captures that are not final leave the rest held; more than that is recorded, and said."""
    await funded.reserve(amount_microcents=100, request_id="job")
    first = await funded.capture("job", 60, final=False)
    assert (940, 40, 900) == amounts(first.balance)
    second = await funded.capture("job", 50, final=False)
    assert (False, True) == (first.entry.overrun, second.entry.overrun)
    assert (890, 0, 890) == amounts(second.balance)
    assert State.RESERVATION_STATE_CAPTURED == (await funded.capture("job", 0)).reservation.state


async def test_usage_is_priced(funded):
    """A reservation and a capture of usage come to what the card says, and the entries keep the usage."""
    await funded.put(card(prices={"tokens": 25 * 10**6}))
    used = usage(tokens=4)
    held = await funded.reserve(usage=used, request_id="job")
    assert 100 == held.reservation.held_microcents
    captured = await funded.capture("job", usage=used)
    assert (-100, used, "chat") == (
        captured.entry.amount_microcents,
        captured.entry.usage,
        captured.entry.service,
    )


async def test_release_and_extend(funded):
    """An extension keeps it for longer and holds more; a release lets go of all of it."""
    held = await funded.reserve(amount_microcents=100, request_id="job")
    extended = await funded.extend("job", ttl={"seconds": 3600}, add_microcents=50)
    assert (150, 150) == (extended.reservation.amount_microcents, extended.reservation.held_microcents)
    later = extended.reservation.expire_time.ToMicroseconds() - held.reservation.expire_time.ToMicroseconds()
    assert 3300 * 10**6 <= later < 3301 * 10**6
    released = await funded.release("job")
    assert (State.RESERVATION_STATE_RELEASED, 1_000, -150) == (
        released.reservation.state,
        released.balance.available_microcents,
        released.entry.held_microcents,
    )


async def test_replays(funded):
    """The same request again is the same entry, byte for byte, with the account as it is now; a different one is refused."""
    calls = [
        (funded.reserve, {"request_id": "a", "amount_microcents": 100}, {"amount_microcents": 101}),
        (funded.extend, {"reservation_id": "a", "request_id": "b", "add_microcents": 1}, {"add_microcents": 2}),
        (
            funded.capture,
            {"reservation_id": "a", "request_id": "c", "cost_microcents": 5, "final": False},
            {"final": True},
        ),
        (funded.release, {"reservation_id": "a", "request_id": "d"}, {"reservation_id": "other"}),
    ]
    first = [await call(**fields) for call, fields, _ in calls]
    now = await funded.balance()
    for (call, fields, other), before in zip(calls, first, strict=True):
        again = await call(**fields)
        assert (False, True, now) == (before.replayed, again.replayed, again.balance)
        assert before.entry.SerializeToString() == again.entry.SerializeToString()
        assert before.reservation == again.reservation
        refusal = await refused(call(**fields | other))
        assert (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED") == (refusal.code, refusal.reason)
    assert now == await funded.balance()


async def test_too_little(funded):
    """More than there is changes nothing; what there is will do for who says so, if it is anything."""
    refusal = await refused(funded.reserve(amount_microcents=1_001))
    assert (Code.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS") == (refusal.code, refusal.reason)
    assert {"available_microcents": "1000", "required_microcents": "1001", "shortfall_microcents": "1"} == (
        refusal.metadata
    )
    part = await funded.reserve(amount_microcents=1_001, request_id="part", allow_partial=True)
    assert (1_000, 0) == (part.reservation.amount_microcents, part.balance.available_microcents)
    assert "INSUFFICIENT_FUNDS" == (await refused(funded.reserve(amount_microcents=1, allow_partial=True))).reason
    assert "INSUFFICIENT_FUNDS" == (await refused(funded.extend("part", add_microcents=1))).reason
    assert 2 == (await funded.balance()).version


@pytest.mark.parametrize("call", ["capture", "release", "extend"])
async def test_a_reservation_that_is_not_there(funded, call):
    """Unknown, or another user's: RESERVATION_NOT_FOUND, and nothing is changed."""
    await funded.fund("bob")
    await funded.reserve("bob", 10, request_id="foreign")
    more = {"add_microcents": 1} if call == "extend" else {}
    for reservation_id in ("foreign", "unknown"):
        refusal = await refused(getattr(funded, call)(reservation_id, **more))
        assert (Code.NOT_FOUND, "RESERVATION_NOT_FOUND") == (refusal.code, refusal.reason)
        assert {"reservation_id": reservation_id} == refusal.metadata
    assert 1 == (await funded.balance()).version


async def test_a_reservation_that_is_over(funded):
    """A reservation ends once: what comes after says in which way it did."""
    for end, state in ((funded.capture, "CAPTURED"), (funded.release, "RELEASED")):
        await funded.reserve(request_id=state)
        await end(state)
        for late in (funded.capture(state), funded.release(state), funded.extend(state, add_microcents=1)):
            refusal = await refused(late)
            assert (Code.FAILED_PRECONDITION, "RESERVATION_CLOSED", state) == (
                refusal.code,
                refusal.reason,
                refusal.metadata["state"],
            )


async def test_expiry_releases(funded):
    """When its time is over what was held is available again, by an entry; what comes after is recorded, late."""
    await funded.reserve(request_id="job", ttl={"seconds": 1})
    assert 0 == (await funded.after(0.9)).reservations
    assert 1 == (await funded.after(0.2)).reservations
    assert (1_000, 0, 1_000) == amounts(await funded.balance())
    newest = (await funded.list(page_size=1)).entries[0]
    assert (Kind.ENTRY_KIND_EXPIRY, "expiry 2", -100, State.RESERVATION_STATE_EXPIRED) == (
        newest.kind,
        newest.request_id,
        newest.held_microcents,
        newest.reservation.state,
    )
    assert "RESERVATION_CLOSED" == (await refused(funded.extend("job", add_microcents=1))).reason
    late = await funded.capture("job", 30)
    assert (True, -30, State.RESERVATION_STATE_SETTLED) == (
        late.entry.late,
        late.entry.amount_microcents,
        late.reservation.state,
    )


async def test_expiry_charges_the_floor(funded):
    """Who asks for it is charged the floor when nothing comes; a late capture is charged less that."""
    await funded.reserve(request_id="job", ttl={"seconds": 1}, on_expiry="ON_EXPIRY_CAPTURE_FLOOR", floor_microcents=40)
    await funded.capture("job", 15, final=False)
    await funded.after(2)
    assert 960 == (await funded.balance()).balance_microcents
    assert -5 == (await funded.capture("job", 30)).entry.amount_microcents


async def test_a_floor_over_the_amount(funded):
    """A floor above what is reserved is its own reason, and names the field."""
    refusal = await refused(funded.reserve(amount_microcents=10, floor_microcents=11))
    assert (Code.INVALID_ARGUMENT, "FLOOR_OVER_AMOUNT", ["floor_microcents"]) == (
        refusal.code,
        refusal.reason,
        refusal.fields,
    )
    assert {"amount_microcents": "10", "floor_microcents": "11"} == refusal.metadata


async def test_every_kind_in_one_batch(funded):
    """A batch takes every kind, each seeing what those before it did, each answered as its own call would be."""
    answer = await funded.batch(
        reserve("ada", 400, request_id="a"),
        reserve("ada", 700),
        check("ada", 601),
        extend("a", add_microcents=100),
        capture("a", 50, final=False),
        fund("ada", 10),
        release("a"),
        capture("a", 1),
        cost("ada", 60),
        capture("unknown", 1),
        reserve("ada", -1),
    )
    kinds = [result.WhichOneof("result") for result in answer.results]
    expected = "reserve status check extend capture record_funding release status record_cost status status"
    assert expected.split() == kinds
    reasons = [brief(result) for result, kind in zip(answer.results, kinds, strict=True) if kind == "status"]
    assert ["INSUFFICIENT_FUNDS", "RESERVATION_CLOSED", "RESERVATION_NOT_FOUND", "INVALID_ARGUMENT"] == reasons
    assert not answer.results[2].check.allowed
    assert 500 == answer.results[3].extend.reservation.amount_microcents
    assert 450 == answer.results[4].capture.reservation.held_microcents
    assert (900, 0, 900) == amounts(await funded.balance())


async def test_every_kind_on_one_stream(funded):
    """A stream takes every kind as well."""
    stream = funded.metering.Stream(timeout=TIMEOUT_SECONDS)
    await stream.write(metering_pb2.StreamRequest(operations=[reserve("ada", 400, request_id="a")]))
    await stream.write(metering_pb2.StreamRequest(operations=[capture("a", 5, final=False), release("a")]))
    await stream.done_writing()
    answers = [[result.WhichOneof("result") for result in answer.results] async for answer in stream]
    assert [["reserve"], ["capture", "release"]] == answers
    assert (995, 0, 995) == amounts(await funded.balance())


async def test_two_hundred_reserve_money_for_fifty(house):
    """However many ask at once, no more is held than there is."""
    await house.fund(amount_microcents=50 * 7)
    answers = await asyncio.gather(*(house.reserve(amount_microcents=7) for _ in range(200)), return_exceptions=True)
    assert 50 == sum(not isinstance(answer, Exception) for answer in answers)
    assert (350, 350, 0) == amounts(await house.balance())
