"""Check: the question before each metered call."""

import pytest


@pytest.mark.parametrize(
    ("minimum", "allowed", "shortfall"),
    [(0, True, 0), (1, True, 0), (1_000, True, 0), (1_001, False, 1), (10**15, False, 10**15 - 1_000)],
)
async def test_the_minimum_is_inclusive(house, minimum, allowed, shortfall):
    """A user with exactly the minimum is allowed; otherwise the answer says how much is missing."""
    await house.fund(amount_microcents=1_000)
    answer = await house.check(minimum_microcents=minimum)
    assert (allowed, 1_000, shortfall) == (answer.allowed, answer.available_microcents, answer.shortfall_microcents)


@pytest.mark.parametrize(("funded", "allowed"), [(99, False), (100, True), (101, True)])
async def test_an_unset_minimum_is_100(house, funded, allowed):
    """Who names no minimum asks for 100 microcents."""
    await house.fund(amount_microcents=funded)
    answer = await house.check()
    assert (allowed, max(0, 100 - funded)) == (answer.allowed, answer.shortfall_microcents)


@pytest.mark.parametrize(("minimum", "allowed"), [(0, True), (None, False), (1, False)])
async def test_an_unknown_user_has_nothing(house, minimum, allowed):
    """An unknown user is no error: 0 available, version 0, and not created by being asked for."""
    answer = await house.check(minimum_microcents=minimum)
    assert (allowed, 0, 0) == (answer.allowed, answer.available_microcents, answer.balance.version)
    assert ("ada", 0) == (answer.balance.user_id, (await house.balance()).version)


async def test_a_user_below_zero(house):
    """A minimum of 0 does not allow a user who is below it."""
    await house.cost(cost_microcents=5)
    answer = await house.check(minimum_microcents=0)
    assert (False, -5, 5) == (answer.allowed, answer.available_microcents, answer.shortfall_microcents)


async def test_a_check_sees_what_was_acknowledged(house):
    """Each change is seen by the first check after its answer, and the check itself changes nothing."""
    for version in range(1, 20):
        await house.fund(amount_microcents=10)
        answer = await house.check(minimum_microcents=version * 10)
        assert (True, version) == (answer.allowed, answer.balance.version)
    assert answer.balance == await house.balance()
