"""Whatever the rules make of whatever is asked, the audit finds nothing in it."""

import asyncio
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from audit.ledgers import NOW_US, SECOND_US, MemoryLedger, priced
from meterd_server.audit import audit_ledger
from meterd_server.model import Expire, Lapse, RecordCost
from meterd_server.rules import expiry_request_id
from rules.commands import capture, cost, extend, funding, grant, policy, release, reserve, reverse

_ids = count()
_amount = st.sampled_from((0, 1, 7, 100, 250))
_more = st.sampled_from((1, 7, 100, 250))
_which = st.integers(1, 5)
_seconds = st.integers(1, 40)

STEPS = st.one_of(
    st.builds(lambda amount, strict: cost("ada", amount, reject_overdraft=strict), _amount, st.booleans()),
    st.builds(
        lambda picocents: RecordCost("ada", f"used {next(_ids)}", 0, priced=priced(picocents)), st.integers(0, 10**7)
    ),
    st.builds(lambda amount: funding("ada", amount), _more),
    st.builds(
        lambda amount, seconds, priority: grant("ada", amount, NOW_US + seconds * SECOND_US, priority=priority),
        _more,
        st.integers(1, 200),
        st.integers(0, 2),
    ),
    st.builds(
        lambda amount, seconds, floor, partial: reserve(
            "ada",
            amount,
            ttl_us=seconds * SECOND_US,
            captures_floor=floor > 0,
            floor_microcents=min(floor, amount),
            allow_partial=partial,
        ),
        _amount,
        _seconds,
        _amount,
        st.booleans(),
    ),
    # These name a reservation or an entry by its place among those that there are by then.
    st.builds(lambda which, amount, final: ("capture", which, amount, final), _which, _amount, st.booleans()),
    st.builds(lambda which: ("release", which), _which),
    st.builds(lambda which, amount: ("extend", which, amount), _which, _more),
    st.builds(lambda which: ("expire", which), _which),
    st.builds(lambda which, amount: ("reverse", which, amount), st.integers(1, 30), st.none() | _more),
    st.builds(lambda limit: policy("ada", credit_limit_microcents=limit), _amount),
    st.just(Lapse("ada")),
)


def named(ledger, step):
    """Return the command that a step stands for in the ledger as it is now."""
    if step[0] not in {"capture", "release", "extend", "expire", "reverse"}:
        return step
    kind, which, *rest = step
    if kind == "reverse":
        return reverse("ada", which, rest[0])
    ids = [reservation_id for _, reservation_id in ledger.reservations]
    reservation_id = ids[which % len(ids)] if ids else "none"
    match kind:
        case "capture":
            return capture("ada", reservation_id, rest[0], final=rest[1])
        case "release":
            return release("ada", reservation_id)
        case "extend":
            return extend("ada", reservation_id, add_microcents=rest[0])
    version = ledger.reservations["ada", reservation_id].version if ids else 1
    return Expire("ada", expiry_request_id(version), reservation_id)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(STEPS, st.integers(0, 20)), max_size=40))
def test_the_audit_agrees_with_the_rules(steps):
    """No order of costs, funding, grants, reservations, reversals and lapses makes a ledger that does not add up."""
    ledger, seconds, entries = MemoryLedger([]), 0, 0
    for step, pause in steps:
        seconds += pause
        entries += ledger.carry_out(named(ledger, step), seconds)
    assert entries == asyncio.run(audit_ledger(ledger)).entries
