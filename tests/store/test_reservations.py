"""Reservations in each store: what is held, what is charged, and how they end, in one batch or many, reopened in between or not."""

import pytest

from meterd_server.errors import Reason
from meterd_server.model import Applied, Checked, EntryKind, Expire, PricedUsage, RateCardKey, ReservationState, Usage
from meterd_server.rules import expiry_request_id
from rules.commands import capture, cost, extend, funding, policy, release, reserve, strict_cost
from store.model import entries_of

KEY = RateCardKey("chat", "large", 1)


def priced(picocents):
    """Return a usage with a price."""
    return PricedUsage(Usage("chat", "large", (("calls", 1),)), picocents, KEY)


@pytest.fixture
async def funded(counter):
    """Return a counter at which alice has 1000."""
    await counter.applied(funding("alice", 1000))
    return counter


async def test_what_is_reserved_is_held_until_it_is_captured(funded):
    """A reservation moves nothing but what is available; its capture charges what it did cost and lets go of the rest."""
    opened = await funded.applied(reserve("alice", 600, "r", service="chat", labels=(("a", "b"),)))
    assert (EntryKind.RESERVATION, 0, 1000, "chat", (("a", "b"),)) == (
        opened.kind,
        opened.amount_microcents,
        opened.balance_microcents,
        opened.service,
        opened.labels,
    )
    assert (1000, 600, 400) == await funded.totals()
    assert Reason.INSUFFICIENT_FUNDS == await funded.refused(strict_cost("alice", 401))
    captured = await funded.applied(capture("alice", "r", 250))
    assert (EntryKind.CAPTURE, -250, "chat") == (captured.kind, captured.amount_microcents, captured.service)
    assert ReservationState.CAPTURED is captured.more.reservation.state
    assert (750, 0, 750) == await funded.totals()


async def test_an_entry_comes_back_as_it_went_in(funded):
    """All that is said of a reservation is listed and replayed as it was answered, with the types that it had."""
    made = [
        await funded.applied(command)
        for command in (
            reserve("alice", 50, "r", captures_floor=True, floor_microcents=20, service='"s" \\ ☃'),
            extend("alice", "r", ttl_us=5, add_microcents=7),
            capture("alice", "r", 99, "c", final=False, occur_time_us=-5),
            reserve("alice", 0, "p", priced=priced(12_345_678)),
            release("alice", "r"),
        )
    ]
    listed = await entries_of(funded.store, "alice")
    assert made == listed[1:]
    assert [_types(entry) for entry in made] == [_types(entry) for entry in listed[1:]]
    (again,) = await funded.batch(capture("alice", "r", 99, "c", final=False, occur_time_us=-5))
    assert (made[2], True, _types(made[2])) == (again.entry, again.replayed, _types(again.entry))


def _types(noun):
    return type(noun), [_types(value) if isinstance(value, tuple) else type(value) for value in noun]


async def test_captures_in_parts(funded):
    """Each part is charged and taken off what is held; the last one ends the reservation."""
    await funded.applied(reserve("alice", 600, "r"))
    await funded.applied(capture("alice", "r", 100, final=False))
    assert (900, 500, 400) == await funded.totals()
    await funded.applied(capture("alice", "r", 200, final=False))
    last = await funded.applied(capture("alice", "r", 0))
    assert (300, 0) == (last.more.reservation.captured_microcents, last.more.reservation.held_microcents)
    assert (700, 0, 700) == await funded.totals()
    assert Reason.RESERVATION_CLOSED == await funded.refused(capture("alice", "r", 1))


async def test_more_is_captured_than_was_held(funded):
    """The cost is real: it is charged, into the negative if need be, and the entry says that it was more."""
    await funded.applied(reserve("alice", 600, "r"))
    captured = await funded.applied(capture("alice", "r", 1500))
    assert captured.more.overrun
    assert (-500, 0, -500) == await funded.totals()


async def test_a_release_ends_a_reservation(funded):
    """What was held is available again, and nothing more can be captured, released or extended."""
    await funded.applied(reserve("alice", 600, "r"))
    released = await funded.applied(release("alice", "r"))
    assert (ReservationState.RELEASED, 0) == (released.more.reservation.state, released.amount_microcents)
    assert (1000, 0, 1000) == await funded.totals()
    for command in (capture("alice", "r", 1), release("alice", "r"), extend("alice", "r", ttl_us=9)):
        assert Reason.RESERVATION_CLOSED == await funded.refused(command)


async def test_an_extension_holds_more_for_longer(funded):
    """The new time counts from the extension on; what is added has to be available."""
    await funded.applied(reserve("alice", 600, "r", ttl_us=10))
    assert Reason.INSUFFICIENT_FUNDS == await funded.refused(extend("alice", "r", add_microcents=401))
    extended = await funded.applied(extend("alice", "r", ttl_us=100_000_000, add_microcents=400))
    assert (1000, 1000) == extended.more.reservation[3:5]
    assert (1000, 1000, 0) == await funded.totals()
    funded.passes(99)
    assert [] == await funded.store.due(funded.now_us, 10)
    funded.passes(2)
    assert 1 == await funded.sweep()
    assert (1000, 0, 1000) == await funded.totals()


async def test_a_reservation_of_what_there_is(funded):
    """Where the caller agrees, less is reserved than was asked for; nothing at all is a refusal."""
    assert Reason.INSUFFICIENT_FUNDS == await funded.refused(reserve("alice", 1001))
    opened = await funded.applied(reserve("alice", 5000, "r", allow_partial=True))
    assert 1000 == opened.more.reservation.amount_microcents
    assert Reason.INSUFFICIENT_FUNDS == await funded.refused(reserve("alice", 1, allow_partial=True))


async def test_an_expiry_ends_a_reservation_once(funded):
    """What is due is ended by one entry, whoever asks for it and however often; before its time nothing happens."""
    opened = await funded.applied(reserve("alice", 600, "r", ttl_us=5_000_000))
    expire = Expire("alice", expiry_request_id(opened.version), "r")
    assert isinstance(await funded.do(expire), Checked)
    funded.passes(6)
    assert [expire] == await funded.store.due(funded.now_us, 10)
    expired = await funded.applied(expire)
    assert (EntryKind.EXPIRY, 0, ReservationState.EXPIRED) == (
        expired.kind,
        expired.amount_microcents,
        expired.more.reservation.state,
    )
    assert (1000, 0, 1000) == await funded.totals()
    assert [] == await funded.store.due(funded.now_us, 10)
    assert isinstance(await funded.do(expire), Checked)
    assert 3 == (await funded.account()).version


async def test_a_capture_after_the_expiry(funded):
    """It is recorded as late; the reservation is then settled, and over."""
    await funded.applied(reserve("alice", 600, "r", ttl_us=1))
    funded.passes(1)
    assert 1 == await funded.sweep()
    captured = await funded.applied(capture("alice", "r", 700))
    assert (-700, True, False) == (captured.amount_microcents, captured.more.late, captured.more.overrun)
    assert ReservationState.SETTLED is captured.more.reservation.state
    assert Reason.RESERVATION_CLOSED == await funded.refused(capture("alice", "r", 1))
    assert (300, 0, 300) == await funded.totals()


@pytest.mark.parametrize(("cost_microcents", "charged"), [(100, 0), (150, 0), (400, 250)])
async def test_the_floor_is_charged_in_place_of_a_capture(funded, cost_microcents, charged):
    """An expiry charges what is missing to the floor; a capture that comes later is charged only what goes beyond."""
    await funded.applied(reserve("alice", 600, "r", ttl_us=1, floor_microcents=200, captures_floor=True))
    await funded.applied(capture("alice", "r", 50, final=False))
    funded.passes(1)
    assert 1 == await funded.sweep()
    assert (800, 0, 800) == await funded.totals()
    captured = await funded.applied(capture("alice", "r", cost_microcents))
    assert -charged == captured.amount_microcents
    assert max(0, 150 - cost_microcents) == captured.more.reservation.unsettled_microcents
    assert (800 - charged, 0, 800 - charged) == await funded.totals()


async def test_a_reservation_is_its_users_own(funded):
    """Another user's reservation, or one that never was, is not found, also where the other has one of the same id."""
    await funded.applied(reserve("alice", 600, "r"))
    for command in (capture("bob", "r", 1), release("bob", "r"), extend("bob", "r"), capture("alice", "s", 1)):
        assert Reason.RESERVATION_NOT_FOUND == await funded.refused(command)
    await funded.applied(funding("bob", 5))
    assert Reason.RESERVATION_NOT_FOUND == await funded.refused(capture("bob", "r", 1))
    await funded.applied(reserve("bob", 5, "r"))
    await funded.applied(capture("bob", "r", 1))
    assert (1000, 600, 400) == await funded.totals()
    assert (4, 0, 4) == await funded.totals("bob")


@pytest.mark.parametrize("request_id", ["0190b6c2-7a3e-7d5c-9f10-2b4a6c8e0f12", "exactly-16-bytes", "ключ"])
async def test_ids_of_every_kind(funded, request_id):
    """A reservation is found by its id, in whichever form that is stored."""
    await funded.applied(reserve("alice", 600, request_id, ttl_us=1))
    await funded.applied(extend("alice", request_id, ttl_us=1))
    funded.passes(1)
    (expire,) = await funded.store.due(funded.now_us, 10)
    assert request_id == expire.reservation_id
    await funded.applied(expire)
    await funded.applied(capture("alice", request_id, 5))


async def test_one_batch(counter):
    """A reservation may be opened, extended, captured from, ended and missed in the batch in which its money came."""
    outcomes = await counter.batch(
        funding("alice", 100),
        reserve("alice", 80, "r"),
        strict_cost("alice", 21),
        extend("alice", "r", add_microcents=20),
        capture("alice", "r", 60, "c", final=False),
        capture("alice", "r", 60, "c", final=False),
        release("alice", "r"),
        capture("alice", "r", 1),
        strict_cost("alice", 40),
        capture("bob", "r", 1),
    )
    told = [outcome.replayed if isinstance(outcome, Applied) else outcome.reason for outcome in outcomes]
    closed, missing, poor = Reason.RESERVATION_CLOSED, Reason.RESERVATION_NOT_FOUND, Reason.INSUFFICIENT_FUNDS
    assert [False, False, poor, False, False, True, False, closed, False, missing] == told
    assert (0, 0, 0) == await counter.totals()
    assert Reason.RESERVATION_CLOSED == await counter.refused(capture("alice", "r", 1))


async def test_replays(funded):
    """A repeated request gets the entry that it made, whatever became of the reservation; another under its id is refused."""
    commands = [
        reserve("alice", 600, "r"),
        extend("alice", "r", "x", add_microcents=5),
        capture("alice", "r", 50, "c", final=False),
        release("alice", "r", "e"),
    ]
    made = [await funded.applied(command) for command in commands]
    for batch in ([[command] for command in commands], [commands]):
        told = [outcome for part in batch for outcome in await funded.batch(*part)]
        assert [(entry, True) for entry in made] == [(outcome.entry, outcome.replayed) for outcome in told]
    for command in (
        reserve("alice", 601, "r"),
        capture("alice", "r", 50, "c"),
        release("alice", "other", "e"),
        extend("alice", "r", "x"),
        cost("alice", 600, "r"),
        policy("alice", "c", frozen=True),
    ):
        assert Reason.REQUEST_ID_REUSED == await funded.refused(command)
    assert 5 == (await funded.account()).version


async def test_a_replay_among_new_ones(funded):
    """A capture that is repeated in a batch with others is charged once, and theirs are."""
    await funded.applied(reserve("alice", 600, "r"))
    first = await funded.applied(capture("alice", "r", 50, "c", final=False))
    outcomes = await funded.batch(
        capture("alice", "r", 10, final=False), capture("alice", "r", 50, "c", final=False), capture("alice", "r", 7)
    )
    assert [False, True, False] == [outcome.replayed for outcome in outcomes]
    assert first == outcomes[1].entry
    assert 67 == outcomes[2].entry.more.reservation.captured_microcents
    assert (933, 0, 933) == await funded.totals()


async def test_usage_is_captured(funded):
    """A capture of usage is charged by its price, and fractions of a microcent go on to the next one."""
    await funded.applied(reserve("alice", 0, "r", priced=priced(5_600_000)))
    assert (1000, 5, 995) == await funded.totals()
    first = await funded.applied(capture("alice", "r", 0, final=False, priced=priced(2_600_000)))
    second = await funded.applied(capture("alice", "r", 0, priced=priced(2_600_000)))
    assert (-2, -3, KEY) == (first.amount_microcents, second.amount_microcents, second.rate_card)
    assert 200_000 == (await funded.account()).residue_picocents


async def test_policies(funded):
    """A credit limit, an unlimited account and a frozen one are kept, and undone by the next policy."""
    assert Reason.INSUFFICIENT_FUNDS == await funded.refused(reserve("alice", 1500))
    made = await funded.applied(policy("alice", credit_limit_microcents=500))
    assert EntryKind.POLICY is made.kind
    assert (1000, 0, 1500) == await funded.totals()
    await funded.applied(reserve("alice", 1500, "r"))
    await funded.applied(policy("alice", unlimited=True))
    await funded.applied(strict_cost("alice", 10**6))
    await funded.applied(policy("alice", frozen=True))
    assert Reason.ACCOUNT_FROZEN == await funded.refused(reserve("alice", 1, allow_partial=True))
    assert Reason.ACCOUNT_FROZEN == await funded.refused(strict_cost("alice", 1))
    await funded.applied(cost("alice", 1))
    await funded.applied(capture("alice", "r", 10))
    assert (500, True, True) == (await funded.account()).policy
    back = {"credit_limit_microcents": 0, "unlimited": False, "frozen": False}
    await funded.applied(policy("alice", **back))
    assert (await funded.account()).more is None
