"""What makes two requests the same: replays, reuse and the stored fingerprint."""

import pytest

from meterd_server.errors import Reason
from meterd_server.model import Account, Applied, GrantTerms, PricedUsage, RateCardKey, RecordCost, RecordFunding, Usage
from meterd_server.rules import decide, fingerprint, hashed, is_same_request, replay

COST = RecordCost("alice", "r1", 1250, "chat", (("model", "café"), ("tier", "pro")), True, -1_000_000)
PRICED = PricedUsage(Usage("chat", "large", (("input", 5), ("output", 2))), 12_500_000, RateCardKey("chat", "lar*", 3))
USE = RecordCost("alice", "r1", 0, "chat", (("tier", "pro"),), priced=PRICED)
FUNDING = RecordFunding("alice", "r1", 500_000_000, None, (("label", "card"),))
UPDATE = RecordFunding("alice", "r1", -250, 1000, (("label", "refund"),))
RICH = Account("alice", 3, 10**9, 0, 5)

SAME_ID_OTHER_REQUEST = [
    (COST, {"cost_microcents": 1251}),
    (COST, {"cost_microcents": 0}),
    (COST, {"service": ""}),
    (COST, {"service": "Chat"}),
    (COST, {"labels": ()}),
    (COST, {"labels": (("model", "cafe"), ("tier", "pro"))}),
    (COST, {"labels": (("model", "café"),)}),
    (COST, {"reject_overdraft": False}),
    (COST, {"occur_time_us": None}),
    (COST, {"occur_time_us": 0}),
    (USE, {"priced": None}),
    (USE, {"service": "other"}),
    (USE, {"labels": ()}),
    (USE, {"reject_overdraft": True}),
    (USE, {"occur_time_us": 0}),
    (USE, {"priced": PRICED._replace(usage=Usage("chat", "large", (("input", 5), ("output", 3))))}),
    (USE, {"priced": PRICED._replace(usage=Usage("chat", "large", (("input", 5),)))}),
    (USE, {"priced": PRICED._replace(usage=Usage("chat", "small", PRICED.usage.quantities))}),
    (USE, {"priced": PRICED._replace(usage=Usage("talk", "large", PRICED.usage.quantities))}),
    (FUNDING, {"amount_microcents": 500_000_001}),
    (FUNDING, {"expected_funded_microcents": 0}),
    (FUNDING, {"labels": ()}),
    (FUNDING, {"labels": (("label", "cash"),)}),
    (FUNDING, {"grant": GrantTerms(expire_time_us=0)}),
    (UPDATE, {"amount_microcents": 250}),
    (UPDATE, {"expected_funded_microcents": None}),
    (UPDATE, {"expected_funded_microcents": 999}),
]


@pytest.mark.parametrize(
    ("command", "stored"),
    [
        (COST, -520828414143238669),
        (RecordCost("bob", "r2", 0), 7787145086222186388),
        (USE, -6929702429917320013),
        (RecordFunding("bob", "r2", 500_000_000), 1694369447376504381),
        (UPDATE._replace(labels=(("label", "refund"),)), 8097682634952298124),
    ],
)
def test_the_hash_never_changes(command, stored):
    """Hashes stand in files: the same request has this very one in every version of meterd."""
    assert stored == hashed(command)


def test_the_fingerprint_of_a_cost_never_changes():
    """It stands in files, too: 1, or 2 for a cost that was not to overdraw, of costs and usage alike."""
    assert (1, 2) == tuple(fingerprint(COST._replace(reject_overdraft=strict)) for strict in (False, True))
    assert (1, 2) == tuple(fingerprint(USE._replace(reject_overdraft=strict)) for strict in (False, True))


@pytest.mark.parametrize("stored", [fingerprint, hashed])
@pytest.mark.parametrize(("command", "change"), SAME_ID_OTHER_REQUEST)
def test_every_field_of_the_request_counts(command, change, stored):
    """Under the same id, a request that differs in one field is a different request; also after an entry of 0.1, a hash."""
    entry = decide(RICH._replace(funded_microcents=1000) if command is UPDATE else RICH, command, 9).entry
    entry = entry._replace(fingerprint=stored(command))
    outcome = replay(entry, RICH, command._replace(**change))
    assert Reason.REQUEST_ID_REUSED == outcome.reason
    assert "'r1'" in outcome.message


def test_the_fields_tested_are_all_there_are():
    """A field added to a command has to be told apart above, or be one that is no part of what was asked."""
    not_asked = {"user_id", "request_id", "request_id_is_new"}
    for command in (COST, FUNDING):
        tested = {field for of, change in SAME_ID_OTHER_REQUEST for field in change if type(of) is type(command)}
        assert set(command._fields) == tested | not_asked


def test_a_cost_and_funding_of_the_same_amount_differ():
    """The kind of the request counts: a cost is no replay of funding."""
    entry = decide(RICH, RecordFunding("alice", "r1", 5), 9).entry
    assert Reason.REQUEST_ID_REUSED == replay(entry, RICH, RecordCost("alice", "r1", 5)).reason


def test_fields_do_not_run_into_each_other():
    """Text that moves from one field to the next is a different request."""
    plain = RecordCost("alice", "r1", 5, "ab", (("c", "d"),))
    others = [("a", (("bc", "d"),)), ("ab", (("cd", ""),)), ("ab", (("c", "d"), ("", ""))), ("ab', 'c", (("d", ""),))]
    for service, labels in others:
        other = plain._replace(service=service, labels=labels)
        assert hashed(plain) != hashed(other)
        assert not is_same_request(decide(RICH, plain, 9).entry, other)


@pytest.mark.parametrize("stored", [fingerprint, hashed])
@pytest.mark.parametrize("command", [COST, USE, FUNDING, UPDATE])
def test_the_same_request_is_a_replay(command, stored):
    """The same request again gets the entry of the first one, and the balance as it is now."""
    entry = decide(RICH._replace(funded_microcents=1000) if command is UPDATE else RICH, command, 9).entry
    entry = entry._replace(fingerprint=stored(command))
    later = Account("alice", 20, 10, 9999, 77)
    assert Applied(entry, later, replayed=True) == replay(entry, later, command)


@pytest.mark.parametrize("command", [COST, FUNDING])
def test_what_came_of_a_request_is_no_part_of_it(command):
    """Neither account, time, nor who made the id change the fingerprint: only what the caller asked does."""
    entries = [
        decide(account, made, now_us).entry
        for account in (RICH, Account("alice", 90, 10**12, 10**10, 4))
        for now_us in (9, 10**15)
        for made in (command, command._replace(request_id_is_new=True))
    ]
    assert {fingerprint(command)} == {entry.fingerprint for entry in entries}


def test_a_price_that_changed_is_no_part_of_a_request():
    """Usage that is sent again under a newer card is a replay of what was charged by the older one."""
    entry = decide(RICH, USE, 9).entry
    dearer = USE._replace(priced=PRICED._replace(picocents=99_000_000, rate_card=RateCardKey("chat", "large", 4)))
    assert (12, entry) == (-entry.amount_microcents, replay(entry, RICH, dearer).entry)


def test_a_hash_fits_an_int64():
    """A hash is stored as a signed 64-bit integer and uses both signs."""
    found = [hashed(RecordCost("alice", "r", amount)) for amount in range(500)]
    assert 500 == len(set(found))
    assert -(2**63) <= min(found) < -(2**61) < 2**61 < max(found) < 2**63
