"""Which calls are turned away unread, and when their callers are to come again."""

import asyncio

import pytest

from meterd_server.rpc.admission import (
    BELIEVED_SECONDS,
    CALLS_A_LOOK,
    CALLS_UNDER_WAY_MAX,
    QUIET_SECONDS,
    RETRY_SECONDS_MAX,
    RETRY_SECONDS_MIN,
    RETURNS_HALVE_SECONDS,
    RETURNS_PER_SECOND_MAX,
    RETURNS_PER_SECOND_MIN,
    Admission,
)


class Counts:
    """What gRPC would say."""

    def __init__(self):
        self.open = 0
        self.ended_by_grpc = 0
        self.come_meanwhile = 0

    def calls(self):
        return self.open + self.ended_by_grpc

    def streams(self):
        return self.open + self.come_meanwhile


@pytest.fixture
def counts():
    """Nothing has come so far."""
    return Counts()


@pytest.fixture
def admission(counts, clock):
    """It believes `counts` and `clock`."""
    return Admission(counts, clock=clock)


def _turned_away(admission, calls=CALLS_A_LOOK):
    return sum(admission.turns_away() for _ in range(calls))


def test_nobody_is_turned_away_while_there_is_room(admission, counts):
    """As many calls as there is room for are carried out."""
    counts.open = CALLS_UNDER_WAY_MAX
    assert 0 == _turned_away(admission, 10 * CALLS_A_LOOK)


def test_as_many_are_turned_away_as_are_too_many(admission, counts):
    """Beyond that, those that come next are turned away, and no more of them than are too many."""
    counts.open = CALLS_UNDER_WAY_MAX + 50
    assert 0 == _turned_away(admission, CALLS_A_LOOK - 1)
    assert 50 == _turned_away(admission)


def test_a_count_is_soon_too_old(admission, counts, clock):
    """Who comes after a flood is not turned away for it."""
    counts.open = 10 * CALLS_UNDER_WAY_MAX
    assert 1 == _turned_away(admission)
    counts.open = 0
    clock.seconds += 2 * BELIEVED_SECONDS
    assert 0 == _turned_away(admission)


def test_calls_that_grpc_ended_by_itself_are_not_under_way(admission, counts, clock):
    """They stay in what gRPC counts for ever, and are no reason to turn anyone away."""
    counts.ended_by_grpc = 10 * CALLS_UNDER_WAY_MAX
    assert 0 == _turned_away(admission, 2 * CALLS_A_LOOK)
    counts.open = CALLS_UNDER_WAY_MAX + 50
    clock.seconds += 1
    assert 50 == _turned_away(admission, 2 * CALLS_A_LOOK - 1)


def test_what_comes_between_the_two_counts(admission, counts):
    """Streams that came after the calls were counted make no room for more calls."""
    counts.open, counts.come_meanwhile = CALLS_UNDER_WAY_MAX + 50, 100
    assert 50 == _turned_away(admission, 2 * CALLS_A_LOOK - 1)


def test_streams_that_stand_open_are_no_work(admission, counts):
    """However many sessions and watchers there are, calls beside them are carried out."""
    counts.open = 2 * CALLS_UNDER_WAY_MAX
    for _ in range(counts.open):
        admission.begin()
    assert 0 == _turned_away(admission, 2 * CALLS_A_LOOK)
    for _ in range(counts.open):
        admission.end()
    assert _turned_away(admission, 2 * CALLS_A_LOOK)


def test_those_turned_away_come_back_one_by_one(admission, clock):
    """Each is given a time behind those before, from a short while on, up to a limit; once all are back, it is short again."""
    assert RETRY_SECONDS_MIN == admission.retry_seconds()
    delays = [admission.retry_seconds() for _ in range(RETURNS_PER_SECOND_MAX)]
    assert sorted(delays) == delays
    assert RETRY_SECONDS_MIN + 1 == pytest.approx(delays[-1])
    turned_away_at_most = int((RETRY_SECONDS_MAX + 1) * RETURNS_PER_SECOND_MAX)
    assert RETRY_SECONDS_MAX == max(admission.retry_seconds() for _ in range(turned_away_at_most))
    clock.seconds += RETRY_SECONDS_MAX
    assert RETRY_SECONDS_MIN == admission.retry_seconds()


def _seconds_of_returns(admission, calls):
    first = admission.retry_seconds()
    return [admission.retry_seconds() for _ in range(calls)][-1] - first


@pytest.mark.parametrize(
    ("halvings", "returns_per_second"), [(1, RETURNS_PER_SECOND_MAX / 2), (20, RETURNS_PER_SECOND_MIN)]
)
def test_the_longer_it_lasts_the_fewer_come_back_in_a_second(admission, clock, halvings, returns_per_second):
    """Half as many after a while, and never fewer than a few."""
    for _ in range(halvings):
        admission.retry_seconds()
        clock.seconds += RETURNS_HALVE_SECONDS
    assert 60 / returns_per_second == pytest.approx(_seconds_of_returns(admission, 60), abs=0.11)


def test_after_a_quiet_while_as_many_come_back_as_at_first(admission, clock):
    """A second flood is not paid for with what the first one took."""
    for _ in range(20):
        admission.retry_seconds()
        clock.seconds += RETURNS_HALVE_SECONDS
    clock.seconds += QUIET_SECONDS
    assert 60 / RETURNS_PER_SECOND_MAX == pytest.approx(_seconds_of_returns(admission, 60), abs=0.11)


async def test_one_who_leaves_early_takes_nobody_along(admission):
    """Those turned away wait for each other; the caller of one may hang up meanwhile."""
    first, second = (asyncio.ensure_future(admission.together()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()
