"""AdminService: what an account is allowed, and undoing what was recorded by mistake."""

import grpc
import pytest

from meterd.v1 import account_pb2, metering_pb2

from .house import refused
from .prices import card, usage

Code = grpc.StatusCode
Kind = account_pb2.EntryKind
REJECT = metering_pb2.OVERDRAFT_POLICY_REJECT


def policy_of(balance):
    """Return a balance's policy."""
    return balance.credit_limit_microcents, balance.unlimited, balance.frozen


async def test_what_is_not_given_stays(house):
    """A policy is changed field by field, by entries that say what it is afterwards; a new user is fine."""
    first = await house.set_policy(credit_limit_microcents=500)
    assert (1, Kind.ENTRY_KIND_POLICY, 0, 500) == (
        first.entry.version,
        first.entry.kind,
        first.entry.amount_microcents,
        first.balance.available_microcents,
    )
    assert (500, True, False) == policy_of((await house.set_policy(unlimited=True)).balance)
    assert (500, True, True) == policy_of((await house.set_policy(frozen=True)).balance)
    await house.set_policy(credit_limit_microcents=0, unlimited=False)
    last = await house.set_policy(frozen=False)
    assert last.entry.HasField("policy")
    assert account_pb2.AccountPolicy() == last.entry.policy
    assert (0, False, False) == policy_of(await house.balance())


async def test_a_credit_limit(house):
    """Funds are enforced that much below zero."""
    await house.set_policy(credit_limit_microcents=50)
    assert (await house.check(minimum_microcents=50)).allowed
    assert not (await house.check(minimum_microcents=51)).allowed
    assert -50 == (await house.cost(cost_microcents=50, overdraft_policy=REJECT)).balance.balance_microcents
    assert "INSUFFICIENT_FUNDS" == (await refused(house.cost(cost_microcents=1, overdraft_policy=REJECT))).reason


async def test_unlimited(house):
    """Nothing is ever too much, and all of it is recorded."""
    await house.set_policy(unlimited=True)
    assert (await house.check(minimum_microcents=10**15)).allowed
    assert -70 == (await house.cost(cost_microcents=70, overdraft_policy=REJECT)).balance.balance_microcents
    assert 10**15 == (await house.reserve(amount_microcents=10**15)).reservation.held_microcents


async def test_frozen(house):
    """Nothing new is allowed, and the reason is said; what was incurred is recorded."""
    await house.fund()
    await house.reserve(request_id="before")
    await house.set_policy(frozen=True)
    checked = await house.check(minimum_microcents=0)
    assert (False, 0, True) == (checked.allowed, checked.shortfall_microcents, checked.balance.frozen)
    for call in (
        house.reserve(amount_microcents=0),
        house.reserve(allow_partial=True),
        house.extend("before", add_microcents=1),
        house.cost(overdraft_policy=REJECT),
    ):
        refusal = await refused(call)
        assert (Code.FAILED_PRECONDITION, "ACCOUNT_FROZEN") == (refusal.code, refusal.reason)
    assert 990 == (await house.cost(cost_microcents=10)).balance.balance_microcents
    assert 980 == (await house.capture("before", 10)).balance.balance_microcents


async def test_what_a_quote_says(house):
    """A quote follows the policy as a Check does."""
    await house.put(card(prices={"tokens": 25 * 10**6}))
    used = usage(tokens=4)
    assert (False, 0) == ((quote := await house.quote("ada", used, "tokens")).allowed, quote.affordable_units)
    await house.set_policy(unlimited=True)
    quote = await house.quote("ada", used, "tokens")
    assert quote.allowed
    assert quote.affordable_units > 10**9
    await house.set_policy(frozen=True)
    quote = await house.quote("ada", used, "tokens")
    assert (False, 0) == (quote.allowed, quote.affordable_units)


async def test_a_policy_is_replayed(house):
    """The same request again changes nothing, even if the policy was changed meanwhile."""
    first = await house.set_policy(frozen=True, request_id="p")
    await house.set_policy(frozen=False)
    again = await house.set_policy(frozen=True, request_id="p")
    assert (True, first.entry, False) == (again.replayed, again.entry, again.balance.frozen)
    assert "REQUEST_ID_REUSED" == (await refused(house.set_policy(frozen=False, request_id="p"))).reason


async def test_reverse_in_parts(house):
    """A cost is undone by opposite entries that name it, in parts, and then the rest."""
    await house.fund()
    spent = (await house.cost(cost_microcents=100)).entry
    part = await house.reverse(spent.version, amount_microcents=30, labels={"by": "eve"})
    assert (Kind.ENTRY_KIND_REVERSAL, 30, spent.version, 30, {"by": "eve"}) == (
        part.entry.kind,
        part.entry.amount_microcents,
        part.entry.reversed_version,
        part.entry.reversed_microcents,
        dict(part.entry.labels),
    )
    rest = await house.reverse(spent.version)
    assert (70, 100) == (rest.entry.amount_microcents, rest.entry.reversed_microcents)
    assert (1_000, 0) == (rest.balance.balance_microcents, rest.balance.spent_microcents)


async def test_reversals_are_replayed(house):
    """The same request again is the same entry, and a different one under its id is refused."""
    await house.cost(cost_microcents=100)
    first = await house.reverse(1, amount_microcents=10, request_id="r")
    again = await house.reverse(1, amount_microcents=10, request_id="r")
    assert (True, first.entry, first.balance) == (again.replayed, again.entry, again.balance)
    assert "REQUEST_ID_REUSED" == (await refused(house.reverse(1, request_id="r"))).reason


NOT_REVERSIBLE = {
    "unknown": (9, {}, Code.NOT_FOUND, "ENTRY_NOT_FOUND", {"version": "9"}),
    "policy": (3, {}, Code.FAILED_PRECONDITION, "ENTRY_NOT_REVERSIBLE", {"version": "3", "kind": "POLICY"}),
    "reversal": (4, {}, Code.FAILED_PRECONDITION, "ENTRY_NOT_REVERSIBLE", {"version": "4", "kind": "REVERSAL"}),
    "too much": (
        2,
        {"amount_microcents": 91},
        Code.FAILED_PRECONDITION,
        "REVERSAL_OVER_ENTRY",
        {"version": "2", "left_microcents": "90", "amount_microcents": "91"},
    ),
}


@pytest.mark.parametrize("name", NOT_REVERSIBLE)
async def test_what_cannot_be_reversed(house, name):
    """No entry, an entry of another kind, a reversal, and more than is left: each its own reason, nothing changed."""
    version, more, *expected = NOT_REVERSIBLE[name]
    await house.fund()
    await house.cost(cost_microcents=100)
    await house.set_policy(unlimited=True)
    await house.reverse(2, amount_microcents=10)
    before = await house.balance()
    refusal = await refused(house.reverse(version, **more))
    assert expected == [refusal.code, refusal.reason, refusal.metadata]
    assert before == await house.balance()
