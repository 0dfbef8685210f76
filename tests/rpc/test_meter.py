"""Metered sessions: a cost that grows while the work runs."""

import grpc
import pytest

from meterd.v1 import account_pb2, reservation_pb2

from .house import TIMEOUT_SECONDS, refused
from .metering import Session
from .prices import card, usage

Code = grpc.StatusCode
State = account_pb2.ReservationState
Kind = account_pb2.EntryKind
FLOOR = account_pb2.ON_EXPIRY_CAPTURE_FLOOR


async def test_a_session(funded, session):
    """A slice is held; each report is charged and the slice made whole; close lets go of the rest, and the stream ends OK."""
    granted = await session.open(request_id="s", service="chat", labels={"team": "a"})
    assert (100, 100, 900) == (
        granted.granted_microcents,
        granted.balance.held_microcents,
        granted.balance.available_microcents,
    )
    granted = await session.report(30)
    assert (100, 30, 970, 100) == (
        granted.granted_microcents,
        granted.reservation.captured_microcents,
        granted.balance.balance_microcents,
        granted.balance.held_microcents,
    )
    granted = await session.report(130)
    assert (100, 840) == (granted.granted_microcents, granted.balance.balance_microcents)
    closed = await session.close()
    assert (State.RESERVATION_STATE_RELEASED, 160, 840) == (
        closed.reservation.state,
        closed.reservation.captured_microcents,
        closed.balance.available_microcents,
    )
    assert grpc.aio.EOF == await session.call.read()
    assert Code.OK == await session.call.code()
    captures = [each for each in (await funded.list()).entries if each.kind == Kind.ENTRY_KIND_CAPTURE]
    assert [(-130, True), (-30, False)] == [(each.amount_microcents, each.overrun) for each in captures]
    assert [("chat", {"team": "a"})] * 2 == [(each.service, dict(each.labels)) for each in captures]


async def test_each_report_begins_the_slice_anew(funded, session):
    """A session whose reports come in time does not expire, however long it takes."""
    await session.open(ttl={"seconds": 10})
    for _ in range(3):
        assert 0 == (await funded.after(9)).reservations
        assert 100 == (await session.report(1)).granted_microcents
    assert 1 == (await funded.after(11)).reservations


async def test_usage_is_priced(funded, session):
    """A report of usage is charged what the card says, exactly, in whatever portions it comes."""
    await funded.put(card(prices={"tokens": 2_500_000}))
    await session.open()
    for _ in range(4):
        granted = await session.report(usage=usage(tokens=1))
    assert (990, 100) == (granted.balance.balance_microcents, granted.granted_microcents)


async def test_the_money_runs_out(funded, session):
    """What there is is granted, to the last; then it is STOP, and what was used until then is still recorded."""
    assert 600 == (await session.open(600)).granted_microcents
    granted = await session.report(500)
    assert 500 == granted.granted_microcents
    stop = await session.report(500)
    assert ("INSUFFICIENT_FUNDS", 0, 0) == (stop.reason, stop.granted_microcents, stop.balance.available_microcents)
    stop = await session.report(7)
    assert ("INSUFFICIENT_FUNDS", -7) == (stop.reason, stop.balance.balance_microcents)
    assert -7 == (await session.close()).balance.balance_microcents


async def test_a_top_up_goes_on(funded, session):
    """When money came in after STOP, the next report is granted again."""
    await session.open(1_000)
    assert "INSUFFICIENT_FUNDS" == (await session.report(1_000)).reason
    await funded.fund(amount_microcents=50)
    assert 45 == (await session.report(5)).granted_microcents


async def test_a_part_of_a_slice(funded, session):
    """A session opens with what there is; with nothing at all it does not."""
    assert 1_000 == (await session.open(5_000)).granted_microcents
    refusal = await refused(Session(funded).open(1))
    assert (Code.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS") == (refusal.code, refusal.reason)


async def test_frozen(funded, session):
    """Who is frozen meanwhile is told to stop, and pays what was used; a new session is refused."""
    await session.open()
    await funded.set_policy(frozen=True)
    for cost in (30, 0):
        stop = await session.report(cost)
        assert ("ACCOUNT_FROZEN", 70, 970) == (stop.reason, stop.granted_microcents, stop.balance.balance_microcents)
    assert "ACCOUNT_FROZEN" == (await refused(Session(funded).open())).reason
    assert 970 == (await session.close()).balance.balance_microcents


async def test_expired_meanwhile(funded, session):
    """A report that comes after the expiry is recorded, late, and answered with STOP; close says how it ended."""
    await session.open(ttl={"seconds": 1}, on_expiry=FLOOR, floor_microcents=20)
    await funded.after(2)
    stop = await session.report(30)
    assert ("RESERVATION_CLOSED", 0, 970, State.RESERVATION_STATE_EXPIRED) == (
        stop.reason,
        stop.granted_microcents,
        stop.balance.balance_microcents,
        stop.reservation.state,
    )
    assert (await funded.list(page_size=1)).entries[0].late
    closed = await session.close()
    assert (State.RESERVATION_STATE_EXPIRED, 970) == (closed.reservation.state, closed.balance.balance_microcents)


async def test_a_session_of_another_kind(funded, session):
    """Under an id that was used for something else there is no session."""
    await funded.cost(request_id="s")
    assert "REQUEST_ID_REUSED" == (await refused(session.open(request_id="s"))).reason


OUT_OF_TURN = {
    "a report first": [{"report": {"cost_microcents": 1}}],
    "close first": [{"close": {}}],
    "nothing": [{}],
    "open twice": [{"open": {}}, {"open": {}}],
    "nothing later": [{"open": {}}, {}],
}


@pytest.mark.parametrize("name", OUT_OF_TURN)
async def test_messages_out_of_turn(funded, session, name):
    """A message out of turn is INVALID_ARGUMENT, and what was open is settled when the caller learns of it."""
    whole = {"open": {"user_id": "ada", "slice_microcents": 100}}
    *before, last = [whole if "open" in message else message for message in OUT_OF_TURN[name]]
    for message in before:
        await session.send(**message)
    refusal = await refused(session.send(**last))
    assert (Code.INVALID_ARGUMENT, ["message"]) == (refusal.code, refusal.fields)
    assert 0 == (await funded.balance()).held_microcents


async def test_ending_without_close(funded, session):
    """Who ends the stream without a close is told so, and settled."""
    await session.open()
    await session.call.done_writing()
    assert ["message"] == (await refused(session.call.read())).fields
    assert 0 == (await funded.balance()).held_microcents


BAD_OPENS = [
    ({"user_id": ""}, "open.user_id"),
    ({"request_id": "a b"}, "open.request_id"),
    ({"slice_microcents": 0}, "open.slice_microcents"),
    ({"slice_microcents": -1}, "open.slice_microcents"),
    ({"on_expiry": 7}, "open.on_expiry"),
    ({"floor_microcents": -1}, "open.floor_microcents"),
    ({"service": "s" * 65}, "open.service"),
    ({"labels": {"": ""}}, "open.labels"),
]


@pytest.mark.parametrize(("fields", "named"), BAD_OPENS, ids=lambda each: str(each)[:30])
async def test_bad_fields_of_an_open(funded, session, fields, named):
    """Each bad field is named, and nothing is held."""
    refusal = await refused(session.open(**fields))
    assert (Code.INVALID_ARGUMENT, [named]) == (refusal.code, refusal.fields)
    assert "INVALID_ARGUMENT" == refusal.reason
    assert 1 == (await funded.balance()).version


async def test_terms_with_a_reason_of_their_own(funded):
    """A ttl out of range, a floor above the slice and too large a slice say so as those of Reserve do."""
    for fields, reason in (
        ({"ttl": {"seconds": 0}}, "TTL_OUT_OF_RANGE"),
        ({"floor_microcents": 101}, "FLOOR_OVER_AMOUNT"),
        ({"slice_microcents": 10**15 + 1}, "AMOUNT_OUT_OF_RANGE"),
    ):
        refusal = await refused(Session(funded).open(**fields))
        assert reason == refusal.reason
        assert f"open.{next(iter(fields))}" in {*refusal.fields, refusal.metadata.get("field")}


@pytest.mark.parametrize(
    ("report", "code", "reason"),
    [
        ({"cost_microcents": -1}, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        ({}, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        ({"cost_microcents": 1, "request_id": "a b"}, Code.INVALID_ARGUMENT, "INVALID_ARGUMENT"),
        ({"cost_microcents": 10**15 + 1}, Code.OUT_OF_RANGE, "AMOUNT_OUT_OF_RANGE"),
        ({"usage": {"service": "x", "quantities": {"y": 1}}}, Code.NOT_FOUND, "UNKNOWN_RATE"),
        ({"cost_microcents": 2, "request_id": "used"}, Code.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
    ],
    ids=lambda each: str(each)[:30],
)
async def test_bad_reports(funded, session, report, code, reason):
    """A report that cannot stand ends the session, which is settled when the caller learns of it."""
    await funded.cost(cost_microcents=1, request_id="used")
    await session.open(on_expiry=FLOOR, floor_microcents=9)
    refusal = await refused(session.send(report=reservation_pb2.MeterReport(**report)))
    assert (code, reason) == (refusal.code, refusal.reason)
    balance = await funded.balance()
    assert (0, 990) == (balance.held_microcents, balance.balance_microcents)


async def test_a_message_that_does_not_parse(funded):
    """Bytes that are no message end the session, which is settled."""
    call = funded.channel.stream_stream("/meterd.v1.MeteringService/Meter")(timeout=TIMEOUT_SECONDS)
    opening = reservation_pb2.MeterRequest(open={"user_id": "ada", "slice_microcents": 100})
    await call.write(opening.SerializeToString())
    await call.read()
    await call.write(b"\x0a\xff")
    assert Code.INVALID_ARGUMENT == (await refused(call.read())).code
    assert 0 == (await funded.balance()).held_microcents
