"""Commands in short, for the tests of the rules, the stores and the ledger."""

from itertools import count

from hypothesis import strategies as st

from meterd_server.model import (
    Capture,
    CostColumns,
    Extend,
    GrantTerms,
    PricedColumns,
    PricedUsage,
    RateCardKey,
    RecordCost,
    RecordFunding,
    Release,
    Reserve,
    Reverse,
    SetPolicy,
    Usage,
    usage_text,
)
from meterd_server.rules import decide_costs

_numbers = count(1)


def cost(user_id, microcents, request_id=None, **fields):
    """Return a RecordCost, under an id of its own unless one is given."""
    return RecordCost(user_id, request_id or f"cost-{next(_numbers)}", microcents, **fields)


def strict_cost(user_id, microcents, request_id=None):
    """Return a RecordCost that is refused when it is more than what is available."""
    return cost(user_id, microcents, request_id, reject_overdraft=True)


def funding(user_id, microcents, request_id=None, **fields):
    """Return a RecordFunding that adds."""
    return RecordFunding(user_id, request_id or f"funding-{next(_numbers)}", microcents, **fields)


def update(user_id, old, new, request_id=None):
    """Return a RecordFunding that says the funded total went from old to new."""
    return funding(user_id, new - old, request_id, expected_funded_microcents=old)


def grant(user_id, microcents, expire_time_us, request_id=None, *, priority=0, label=""):
    """Return a RecordFunding of money that expires."""
    return funding(user_id, microcents, request_id, grant=GrantTerms(expire_time_us, priority, label))


def reserve(user_id, microcents, request_id=None, *, ttl_us=60_000_000, **fields):
    """Return a Reserve, for a minute unless it says otherwise."""
    return Reserve(user_id, request_id or f"reserve-{next(_numbers)}", microcents, ttl_us, **fields)


def capture(user_id, reservation_id, microcents, request_id=None, **fields):
    """Return a Capture, the last one unless it says otherwise."""
    return Capture(user_id, request_id or f"capture-{next(_numbers)}", reservation_id, microcents, **fields)


def release(user_id, reservation_id, request_id=None):
    """Return a Release."""
    return Release(user_id, request_id or f"release-{next(_numbers)}", reservation_id)


def extend(user_id, reservation_id, request_id=None, **fields):
    """Return an Extend."""
    return Extend(user_id, request_id or f"extend-{next(_numbers)}", reservation_id, **fields)


def reverse(user_id, version, microcents=None, request_id=None, **fields):
    """Return a Reverse of an entry, of all that is left of it unless it says how much."""
    return Reverse(user_id, request_id or f"reverse-{next(_numbers)}", version, microcents, **fields)


def policy(user_id, request_id=None, **fields):
    """Return a SetPolicy."""
    return SetPolicy(user_id, request_id or f"policy-{next(_numbers)}", **fields)


def commands(users=("alice", "bob"), request_ids=8, amounts=(0, 1, 5, 100)):
    """Commands over few users, ids and amounts, so that replays, reuse, conflicts and refusals are common."""
    user_id, amount, request_id = _few(users, amounts, request_ids)
    return st.one_of(
        st.builds(cost, user_id, amount, request_id, reject_overdraft=st.booleans()),
        st.builds(cost, user_id, amount, request_id, labels=st.just((("model", "x"),))),
        st.builds(funding, user_id, amount, request_id),
        st.builds(update, user_id, amount, amount, request_id),
    )


def in_columns(costs):
    """Return costs in columns: plain ones, with usage either all or none."""
    user_ids, request_ids, microcents, services, *_ = zip(*costs, strict=True)
    columns = CostColumns(user_ids, request_ids, microcents, services)
    if costs[0].priced:
        usages, picocents, cards = zip(*(each.priced for each in costs), strict=True)
        columns.priced = PricedColumns(picocents, [*map(usage_text, usages, cards)])
    return columns


def plain_costs(users=("alice", "bob"), request_ids=8):
    """Batches of costs that can go in columns, over few users and ids."""
    service = st.sampled_from(["", "chat"])
    return st.lists(st.builds(cost, *_few(users, [1, 5, 100], request_ids), service=service), min_size=1)


def plain_usages(users=("alice", "bob"), request_ids=8):
    """Batches of usages that can go in columns, over few users and ids."""
    units = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), min_size=1, unique_by=lambda pair: pair[0])
    picocents = st.sampled_from([0, 1, 999_999, 1_000_000, 10**12 + 1])
    priced = st.builds(
        lambda service, model, quantities, price, version: PricedUsage(
            Usage(service, model, tuple(sorted(quantities))), price, RateCardKey(service, "m*", version)
        ),
        *(st.sampled_from(["chat", 'a "%s"']), st.sampled_from(["", "m"]), units, picocents, st.integers(1, 9)),
    )
    return st.lists(st.builds(cost, *_few(users, [0], request_ids), priced=priced), min_size=1)


def decided(accounts, costs, now_us):
    """Decide costs in columns on accounts by user; the accounts after them are by user as well."""
    user_ids, places = costs.users()
    decision = decide_costs([accounts[user_id] for user_id in user_ids], places, costs, now_us)
    return decision and (decision.recorded, dict(zip(user_ids, decision.accounts, strict=True)))


def distinct(costs):
    """Return the first cost under each request id of each user."""
    return [*{each[:2]: each for each in reversed(costs)}.values()][::-1]


def _few(users, amounts, request_ids):
    return st.sampled_from(users), st.sampled_from(amounts), st.integers(1, request_ids).map("r{}".format)
