"""Costs in columns are kept as the same costs are one by one, in every store."""

import pytest

from meterd_server.errors import Reason
from meterd_server.model import ACCOUNT_MICROCENTS_MAX, PricedUsage, RateCardKey, Rejection, Usage
from rules.commands import cost, funding, grant, in_columns, reserve
from store.model import entries_of

NOW = 1_700_000_000_000_000
MINUTE_US = 60_000_000
KEY = RateCardKey("chat", "large-*", 3)


def use(user_id, picocents, request_id):
    """Return the command of a usage with a price."""
    usage = Usage("chat", "large-1", (("input_tokens", 7),))
    return cost(user_id, 0, request_id, priced=PricedUsage(usage, picocents, KEY))


@pytest.fixture
async def compare(open_store, engine, tmp_path):
    """Return a function that commits `before`, then `costs`: one by one in one store, and in columns in another.

    It checks that both come to the same, and returns what the costs were answered.
    """
    store = await open_store()
    (tmp_path / "twin").mkdir()
    twin = engine.make(tmp_path / "twin")
    await twin.open()

    async def compare(*costs, before=()):
        for each in (store, twin):
            await each.commit(before, NOW)
        outcomes = await twin.commit(costs, NOW + 1)
        assert outcomes == [*await store.commit(in_columns(costs), NOW + 1)]
        for user_id in {command.user_id for command in (*before, *costs)}:
            assert await entries_of(twin, user_id) == await entries_of(store, user_id)
            assert await twin.account(user_id) == await store.account(user_id)
        return outcomes

    yield compare
    await twin.close()


@pytest.mark.parametrize("kind", [cost, use], ids=["costs", "usages"])
async def test_users_new_and_known(compare, kind):
    """Several entries of a user in a batch follow each other, whether the user was known or not."""
    costs = [kind("alice", 1_500_000, "r1"), kind("bob", 7, "r1"), kind("alice", 700_000, "r2")]
    await compare(*costs, before=[funding("bob", 5), cost("bob", 1)])


async def test_retries(compare):
    """A request that was recorded before is replayed, or told that its id is taken, and what stands beside it is new."""
    known = cost("alice", 5, "r1")
    outcomes = await compare(
        known, cost("alice", 6, "r2"), cost("alice", 7, "r3"), before=[known, cost("alice", 9, "r3")]
    )
    assert [True, False] == [outcome.replayed for outcome in outcomes[:2]]
    assert Rejection is type(outcomes[2])


async def test_a_request_twice(compare):
    """The same request twice in a batch makes one entry."""
    outcomes = await compare(cost("alice", 5, "r1"), cost("bob", 5, "r1"), cost("alice", 5, "r1"))
    assert [False, False, True] == [outcome.replayed for outcome in outcomes]


@pytest.mark.parametrize(
    "more", [reserve("alice", 5, "h"), grant("alice", 50, NOW + MINUTE_US, "g")], ids=["held", "granted"]
)
async def test_an_account_with_more_to_say(compare, more):
    """A user with a reservation or a grant is charged from what there is, beside one who has neither."""
    await compare(cost("bob", 3, "r1"), cost("alice", 5, "r1"), before=[funding("alice", 100, "f"), more])


async def test_more_than_an_account_can_hold(compare):
    """A cost that would take an account out of range is refused alone."""
    costs = [cost("alice", amount, f"r{amount}") for amount in (3, 4, 1)]
    outcomes = await compare(*costs, before=[cost("alice", ACCOUNT_MICROCENTS_MAX - 4)])
    assert Reason.AMOUNT_OUT_OF_RANGE == outcomes[1].reason
    assert [ACCOUNT_MICROCENTS_MAX - 1, ACCOUNT_MICROCENTS_MAX] == [
        each.account.spent_microcents for each in outcomes[::2]
    ]
