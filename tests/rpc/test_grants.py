"""Money that expires, over the wire."""

import grpc
import pytest

from meterd.v1 import account_pb2

from .house import refused

Kind = account_pb2.EntryKind


def _at(house, seconds):
    time_us = house.now_us + seconds * 10**6
    return {"seconds": time_us // 10**6, "nanos": time_us % 10**6 * 1_000}


async def _left(house):
    return [(grant.label, grant.left_microcents) for grant in (await house.look_at()).grants]


async def test_grants_are_listed_and_drawn_from_in_order(house):
    """GetBalance lists grants by priority, expiry and age; costs draw from them in that order, and entries say so."""
    await house.fund(amount_microcents=100)
    await house.fund(amount_microcents=10, expire_time=_at(house, 90), label="late")
    first = await house.fund(amount_microcents=20, expire_time=_at(house, 50), label="soon")
    await house.fund(amount_microcents=30, expire_time=_at(house, 99), priority=-1, label="first")
    assert [("first", 30), ("soon", 20), ("late", 10)] == await _left(house)
    grant = (await house.look_at()).grants[1]
    assert (first.entry.version, 20, 0, first.entry.expire_time, "soon") == (
        grant.version,
        grant.amount_microcents,
        grant.priority,
        grant.expire_time,
        grant.label,
    )
    spent = await house.cost(cost_microcents=45)
    assert [(4, 30), (3, 15)] == [(draw.version, draw.drawn_microcents) for draw in spent.entry.draws]
    assert [("first", 0), ("soon", 5), ("late", 10)] == await _left(house)
    assert 115 == spent.balance.balance_microcents


async def test_what_lapses_is_an_entry(house):
    """When its time is over what is left of a grant is gone, by an entry of its own, and the sums hold."""
    await house.fund(amount_microcents=100)
    await house.fund(amount_microcents=10, expire_time=_at(house, 90), priority=5, label="gift")
    await house.cost(cost_microcents=4)
    assert 1 == (await house.after(90)).lapsed_users
    newest = (await house.list(page_size=1)).entries[0]
    assert (Kind.ENTRY_KIND_LAPSE, "lapse 2", -6) == (newest.kind, newest.request_id, newest.amount_microcents)
    balance = await house.balance()
    assert (100, 110, 4, 6) == (
        balance.balance_microcents,
        balance.funded_microcents,
        balance.spent_microcents,
        balance.lapsed_microcents,
    )
    assert [] == await _left(house)


async def test_funding_says_what_its_money_is(house):
    """The entry of a funding keeps expiry, priority and label; a label alone makes no grant."""
    entry = (await house.fund(expire_time=_at(house, 9), priority=-1_000, label="l" * 64)).entry
    assert (_at(house, 9)["seconds"], -1_000, "l" * 64) == (entry.expire_time.seconds, entry.priority, entry.label)
    plain = (await house.fund("bob", label="invoice 7")).entry
    assert ("invoice 7", False) == (plain.label, plain.HasField("expire_time"))
    assert [] == list((await house.look_at("bob")).grants)
    assert entry in (await house.list()).entries


@pytest.mark.parametrize("seconds", [0, -1, -(10**9)])
async def test_a_grant_that_expires_in_the_past(unchanged, seconds):
    """Money that would have expired already is refused, with its own reason, naming the field."""
    refusal = await refused(unchanged.fund(expire_time=_at(unchanged, seconds)))
    assert (grpc.StatusCode.INVALID_ARGUMENT, "GRANT_EXPIRED", ["expire_time"]) == (
        refusal.code,
        refusal.reason,
        refusal.fields,
    )
    assert str(unchanged.now_us) == refusal.metadata["now_us"]


async def test_too_many_grants(house):
    """A user has at most 100 grants at a time; money without expiry still comes in."""
    for number in range(100):
        await house.fund(amount_microcents=1, expire_time=_at(house, 100 + number))
    refusal = await refused(house.fund(amount_microcents=1, expire_time=_at(house, 5)))
    assert (grpc.StatusCode.FAILED_PRECONDITION, "TOO_MANY_GRANTS") == (refusal.code, refusal.reason)
    assert 101 == (await house.fund(amount_microcents=1)).balance.balance_microcents
