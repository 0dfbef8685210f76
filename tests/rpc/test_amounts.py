"""Amounts at and beyond their limits, oneofs, enums and times."""

import grpc
import pytest

from meterd.v1 import metering_pb2

from .house import refused

Code = grpc.StatusCode
MOST = 10**15
ACCOUNT_MOST = 9 * 10**18
INT64_MAX, INT64_MIN = 2**63 - 1, -(2**63)
TIMES = {"first": (-62_135_596_800, 0), "last": (253_402_300_799, 999_999_000), "before 1970": (-1, 999_999_000)}
BAD_TIMES = {
    "too early": (-62_135_596_801, 0),
    "too late": (253_402_300_800, 0),
    "negative nanos": (0, -1),
    "a second of nanos": (0, 10**9),
    "int64 max": (INT64_MAX, 0),
    "int64 min": (INT64_MIN, 0),
}


async def _invalid(call):
    refusal = await refused(call)
    assert (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", "meterd") == (refusal.code, refusal.reason, refusal.domain)
    return refusal.fields


async def _out_of_range(call):
    refusal = await refused(call)
    assert (Code.OUT_OF_RANGE, "AMOUNT_OUT_OF_RANGE", "meterd") == (refusal.code, refusal.reason, refusal.domain)
    return refusal.metadata


@pytest.mark.parametrize("amount", [-1, -MOST, INT64_MIN])
async def test_negative_amounts(unchanged, amount):
    """No rpc takes a negative amount."""
    update = {"old_amount_microcents": 1_000, "new_amount_microcents": 1_000}
    assert ["cost_microcents"] == await _invalid(unchanged.cost(cost_microcents=amount))
    assert ["amount_microcents"] == await _invalid(unchanged.fund(amount_microcents=amount))
    assert ["minimum_microcents"] == await _invalid(unchanged.check(minimum_microcents=amount))
    for field in update:
        assert [f"update.{field}"] == await _invalid(unchanged.fund(update=update | {field: amount}))


@pytest.mark.parametrize("amount", [MOST + 1, INT64_MAX])
async def test_amounts_over_the_limit(unchanged, amount):
    """One operation moves at most 10^15 microcents, and the refusal says which field and which limit."""
    for field, call in {
        "cost_microcents": unchanged.cost(cost_microcents=amount),
        "amount_microcents": unchanged.fund(amount_microcents=amount),
        "minimum_microcents": unchanged.check(minimum_microcents=amount),
    }.items():
        assert {"field": field, "limit": str(MOST)} == await _out_of_range(call)


async def test_amounts_at_the_limit(house):
    """10^15 is taken by every rpc."""
    assert MOST == (await house.fund(amount_microcents=MOST)).entry.amount_microcents
    assert (await house.check(minimum_microcents=MOST)).allowed
    assert -MOST == (await house.cost(cost_microcents=MOST)).entry.amount_microcents
    up = {"old_amount_microcents": MOST, "new_amount_microcents": 2 * MOST}
    assert MOST == (await house.fund(update=up)).entry.amount_microcents
    down = {"old_amount_microcents": 2 * MOST, "new_amount_microcents": MOST}
    assert -MOST == (await house.fund(update=down)).entry.amount_microcents


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (1_000, MOST + 1_001),
        (MOST + 1_001, 1_000),
        (0, INT64_MAX),
        (ACCOUNT_MOST, ACCOUNT_MOST + 1),
        (INT64_MAX, INT64_MAX),
    ],
)
async def test_updates_over_the_limit(unchanged, old, new):
    """An update may not move more than 10^15, nor name a total above 9*10^18."""
    await _out_of_range(unchanged.fund(update={"old_amount_microcents": old, "new_amount_microcents": new}))


async def test_a_cost_of_zero(house):
    """Free use is still use: it makes an entry and leaves the balance."""
    recorded = await house.cost(cost_microcents=0)
    assert (1, 0, 0) == (recorded.entry.version, recorded.entry.amount_microcents, recorded.balance.balance_microcents)


async def test_a_funding_of_zero(unchanged):
    """No money coming in is not a funding."""
    assert ["amount_microcents"] == await _invalid(unchanged.fund(amount_microcents=0))


async def test_an_update_that_takes_back_what_was_spent(house):
    """A lower total goes through although it leaves the balance below zero."""
    await house.fund(amount_microcents=1_000)
    await house.cost(cost_microcents=900)
    recorded = await house.fund(update={"old_amount_microcents": 1_000, "new_amount_microcents": 0})
    assert (-1_000, -900) == (recorded.entry.amount_microcents, recorded.balance.balance_microcents)
    assert (0, 900) == (recorded.balance.funded_microcents, recorded.balance.spent_microcents)


async def test_an_overdraft_is_recorded(house):
    """Unless the caller asks otherwise, a cost is recorded even below zero."""
    for policy in (metering_pb2.OVERDRAFT_POLICY_UNSPECIFIED, metering_pb2.OVERDRAFT_POLICY_ALLOW):
        await house.cost(cost_microcents=50, overdraft_policy=policy)
    assert -100 == (await house.balance()).balance_microcents


async def test_a_covered_cost_is_recorded_whatever_the_policy(house):
    """REJECT takes a cost that uses up exactly what there is."""
    await house.fund(amount_microcents=1_000)
    policy = metering_pb2.OVERDRAFT_POLICY_REJECT
    recorded = await house.cost(cost_microcents=1_000, overdraft_policy=policy)
    assert 0 == recorded.balance.balance_microcents


@pytest.mark.parametrize("policy", [3, -1, 2**31 - 1, -(2**31)])
async def test_an_unknown_policy(unchanged, policy):
    """A value that this server does not know is refused, not taken for a default."""
    assert ["overdraft_policy"] == await _invalid(unchanged.cost(overdraft_policy=policy))


async def test_neither_of_a_oneof(unchanged):
    """A cost without a cost and a funding without an amount are refused by name."""
    cost = metering_pb2.RecordCostRequest(user_id="ada")
    assert ["cost_microcents"] == await _invalid(unchanged.send("RecordCost", cost))
    funding = metering_pb2.RecordFundingRequest(user_id="ada")
    assert ["funding"] == await _invalid(unchanged.send("RecordFunding", funding))


async def test_both_of_a_oneof(house):
    """When the bytes hold both, the last one counts, as protobuf has it; it is applied once and alone."""
    update = metering_pb2.FundingUpdate(old_amount_microcents=0, new_amount_microcents=500)
    first = metering_pb2.RecordFundingRequest(user_id="ada", request_id="both", amount_microcents=7)
    last = metering_pb2.RecordFundingRequest(update=update)
    await house.send("RecordFunding", first.SerializeToString() + last.SerializeToString())
    assert [500] == [entry.amount_microcents for entry in (await house.list()).entries]


async def test_an_empty_update(house):
    """An update from 0 to 0 of a new user changes no total; the request is recorded."""
    recorded = await house.fund(update={})
    assert (1, 0) == (recorded.entry.version, recorded.entry.amount_microcents)


@pytest.mark.parametrize("name", TIMES)
async def test_occur_times(house, name):
    """A time of the years 1 to 9999 comes back as sent, to the microsecond, and again from the ledger."""
    seconds, nanos = TIMES[name]
    recorded = await house.cost(occur_time={"seconds": seconds, "nanos": nanos})
    assert (seconds, nanos) == (recorded.entry.occur_time.seconds, recorded.entry.occur_time.nanos)
    assert [recorded.entry] == list((await house.list()).entries)


async def test_an_occur_time_is_cut_to_the_microsecond(house):
    """Nanoseconds are cut off, never rounded."""
    recorded = await house.cost(occur_time={"seconds": 1, "nanos": 1_999})
    assert 1_000 == recorded.entry.occur_time.nanos


async def test_no_occur_time(house):
    """A time that was not given stays unset."""
    assert not (await house.cost()).entry.HasField("occur_time")


@pytest.mark.parametrize("name", BAD_TIMES)
async def test_bad_occur_times(unchanged, name):
    """A time that is no Timestamp is refused."""
    seconds, nanos = BAD_TIMES[name]
    assert ["occur_time"] == await _invalid(unchanged.cost(occur_time={"seconds": seconds, "nanos": nanos}))
