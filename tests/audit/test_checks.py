"""Every rule that a ledger has to keep: broken in one place of a ledger that keeps them all, it is named with that place."""

import pytest

from audit.ledgers import MemoryLedger
from meterd_server.audit import DifferenceError, Summary, audit_ledger, checks
from meterd_server.model import Account, Draw, EntryKind, Policy, ReservationState, Reversal
from rules.commands import cost, funding

GRANTS = MemoryLedger().accounts["ada"].more.grants


def _more(ledger, **fields):
    ledger.replace_account(more=ledger.accounts["ada"].more._replace(**fields))


async def found(ledger):
    """Return what the audit of a damaged ledger names."""
    with pytest.raises(DifferenceError) as caught:
        await audit_ledger(ledger)
    return caught.value.difference


async def test_a_ledger_that_adds_up():
    """Nothing is found in a ledger that the rules made, and all of it was looked at."""
    done = []
    assert Summary(2, 22, 4, 2, 1) == await audit_ledger(MemoryLedger(), done.append)
    assert 22 == sum(done)


ENTRIES = {
    "balance": (4, lambda it: it.replace(4, balance_microcents=1151), "balance_microcents: expected 1150, stored 1151"),
    "amount": (4, lambda it: it.replace(4, amount_microcents=-351), "balance_microcents: expected 1149, stored 1150"),
    "time": (
        5,
        lambda it: it.replace(5, record_time_us=it.logs["ada"][3].record_time_us),
        "record time in microseconds: expected above 1800000001000000, stored 1800000001000000",
    ),
    "residue": (5, lambda it: it.replace(5, residue_picocents=10**6), "residue_picocents: expected 0 to 999999"),
    "user": (5, lambda it: it.replace(5, user_id="eve"), "user: expected ada, stored eve"),
    "kind": (1, lambda it: it.replace(1, kind=EntryKind.COST), "amount_microcents of a COST: expected 0 or less"),
    "moves": (
        13,
        lambda it: it.replace(13, amount_microcents=1, balance_microcents=1025),
        "amount_microcents of a RELEASE",
    ),
    "nothing said": (19, lambda it: it.replace(19, more=None), "what a POLICY says of itself"),
    "no policy": (19, lambda it: it.replace_more(19, policy=None), "the policy of a POLICY"),
    "no reservation": (6, lambda it: it.replace_more(6, reservation=None), "its reservation: expected one"),
    "reservation of a cost": (4, lambda it: it.replace_more(4, held_microcents=5), "what a COST says of a reservation"),
    "held by": (10, lambda it: it.replace_more(10, held_microcents=-20), "the change of held_microcents: expected -30"),
    "held": (
        10,
        lambda it: it.replace_reservation(10, held_microcents=60),
        "the change of held_microcents: expected -40",
    ),
    "held after the end": (
        13,
        lambda it: (it.replace_reservation(13, held_microcents=20), it.replace_more(13, held_microcents=-30)),
        "held_microcents of the reservation: expected 0, or more while it is open, stored 20",
    ),
    "captured": (
        10,
        lambda it: it.replace_reservation(10, captured_microcents=0),
        "captured_microcents of the reservation",
    ),
    "state": (
        13,
        lambda it: it.replace_reservation(13, state=ReservationState.OPEN),
        "the state that the RELEASE leaves: expected RELEASED, stored OPEN",
    ),
    "id": (6, lambda it: it.replace_reservation(6, reservation_id="r"), "the reservation's id and version"),
    "over": (
        13,
        lambda it: it.replace_reservation(13, reservation_id="r1"),
        "what its reservation was before the RELEASE",
    ),
    "opened twice": (7, lambda it: it.replace_reservation(7, reservation_id="r1"), "what its reservation was before"),
    "draw of no grant": (5, lambda it: it.replace_more(5, draws=(Draw(1, 1),)), "the grant that it draws from"),
    "draw too much": (
        5,
        lambda it: it.replace_more(5, draws=(Draw(2, 2),)),
        "what it draws from grants: expected above 0",
    ),
    "grant below 0": (
        4,
        lambda it: it.replace_more(4, draws=(Draw(2, 350),)),
        "left_microcents of grant 2: expected 0 to 300, stored -50",
    ),
    "grant above": (
        16,
        lambda it: it.replace_more(16, draws=(Draw(2, -301),)),
        "left_microcents of grant 2: expected 0 to",
    ),
    "lapse": (20, lambda it: it.replace_more(20, draws=(Draw(2, 149),)), "the grant that lapses: expected [(2, 150)]"),
    "reversed total": (
        16,
        lambda it: it.replace_more(16, reversal=Reversal(4, 99)),
        "how much of entry 4 is reversed: expected 100",
    ),
    "reversed too much": (
        17,
        lambda it: (
            it.replace(17, amount_microcents=251, balance_microcents=1315),
            it.replace_more(17, reversal=Reversal(4, 351)),
        ),
        "how much of entry 4 is reversed: expected 350 at most, stored 351",
    ),
    "reversed nothing": (
        16,
        lambda it: it.replace_more(16, reversal=Reversal(6, 100)),
        "the entry that it reverses: expected a cost",
    ),
    "reversed later": (
        16,
        lambda it: it.replace_more(16, reversal=Reversal(21, 100)),
        "the entry that it reverses: expected a cost",
    ),
    "reversed none": (16, lambda it: it.replace_more(16, reversal=None), "the entry that it reverses: expected one"),
    "reversed sign": (
        16,
        lambda it: it.replace_more(16, reversal=Reversal(1, 100)),
        "expected of the other sign, stored 100",
    ),
    "request id": (
        21,
        lambda it: it.replace(21, request_id="c1"),
        "a request id that no earlier entry has: expected a new one, stored c1",
    ),
    "gap": (8, lambda it: it.logs["ada"].pop(6), "version of the next entry: expected 7, stored 8"),
    "end": (21, lambda it: it.logs["ada"].pop(), "the entry of that version: expected one, stored none"),
    "doubled": (
        6,
        lambda it: it.logs["ada"].insert(6, it.logs["ada"][5]),
        "version of the next entry: expected 7, stored 6",
    ),
}


@pytest.mark.parametrize(("version", "damage", "text"), ENTRIES.values(), ids=ENTRIES)
async def test_an_entry_that_does_not_fit(version, damage, text):
    """The first entry that breaks a rule is named, with what was expected and what is stored."""
    ledger = MemoryLedger()
    damage(ledger)
    difference = await found(ledger)
    assert ("ada", version) == difference[:2]
    assert text in str(difference)


ACCOUNTS = {
    "funded": ({"funded_microcents": 1500}, "balance_microcents: funded - spent - lapsed: expected 1158, stored 1163"),
    "both": (
        {"funded_microcents": 1500, "spent_microcents": 192},
        "funded_microcents of the account: expected 1495, stored 1500",
    ),
    "residue": ({"residue_picocents": 0}, "residue_picocents of the account: expected 700000, stored 0"),
    "time": ({"record_time_us": 1}, "record time of the account: expected 1800000062000000, stored 1"),
    "nothing more": (
        {"more": None, "funded_microcents": 1345},
        "held_microcents: the sum of open reservations: expected 20",
    ),
}


@pytest.mark.parametrize(("fields", "text"), ACCOUNTS.values(), ids=ACCOUNTS)
async def test_an_account_that_does_not_follow(fields, text):
    """An account that is not what its entries come to is named with its version and what differs."""
    ledger = MemoryLedger()
    ledger.replace_account(**fields)
    difference = await found(ledger)
    assert ("ada", 21) == difference[:2]
    assert text in str(difference)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"held_microcents": 19}, "held_microcents: the sum of open reservations: expected 20, stored 19"),
        ({"policy": Policy()}, "policy of the account: expected"),
        ({"grants": ()}, "grants of the account: expected"),
        ({"grants": (GRANTS[0]._replace(left_microcents=200),)}, "grants of the account: expected"),
    ],
    ids=["held", "policy", "grants", "grant"],
)
async def test_what_an_account_has_more(fields, text):
    """The same for what most accounts do not have."""
    ledger = MemoryLedger()
    _more(ledger, **fields)
    assert text in str(await found(ledger))


async def test_the_first_of_several():
    """Of two damaged users, the first in the order of the ledger is named, although they are read at the same time."""
    ledger = MemoryLedger()
    ledger.replace(1, "bob", balance_microcents=0)
    ledger.replace(20, request_id="c1")
    assert "ada" == (await found(ledger)).user_id


async def test_request_ids_of_a_large_user(monkeypatch):
    """A repeated id is found also where the ids are compared part by part; equal hashes of different ids are none."""
    monkeypatch.setattr(checks, "_HASHES_AT_A_TIME", 10)
    ledger = MemoryLedger([(0, funding("ada", 10**6, "f")), *((1, cost("ada", 1, f"c{n}")) for n in range(100))])
    assert 101 == (await audit_ledger(ledger)).entries
    monkeypatch.setattr(checks, "hash_of", lambda _: 7)
    assert 101 == (await audit_ledger(ledger)).entries
    monkeypatch.undo()
    ledger.replace(77, request_id="c20")
    assert ("ada", 77) == (await found(ledger))[:2]


async def test_an_empty_ledger():
    """There is nothing to find in nothing."""
    ledger = MemoryLedger([])
    assert {} == ledger.accounts
    assert Summary(0, 0, 0, 0, 0) == await audit_ledger(ledger)
    assert Account("ada") == checks.AccountAudit("ada").account
