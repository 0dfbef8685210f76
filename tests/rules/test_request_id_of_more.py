"""What makes two requests the same, for reservations, policies, reversals and grants: the stored fingerprint and what it covers."""

import pytest

from meterd_server.errors import Reason
from meterd_server.model import (
    Applied,
    Capture,
    Expire,
    Extend,
    GrantTerms,
    PricedUsage,
    RateCardKey,
    RecordFunding,
    Release,
    Reserve,
    Reverse,
    SetPolicy,
    Usage,
)
from meterd_server.rules import fingerprint, replay
from rules.commands import cost, funding, reserve
from rules.teller import NOW, SECOND, Teller

USED = PricedUsage(Usage("chat", "large", (("input", 5), ("output", 2))), 12_500_000, RateCardKey("chat", "lar*", 3))
GRANT = RecordFunding("alice", "r1", 50, None, (("a", "é"),), grant=GrantTerms(NOW + 9, -3, "promo"))
RESERVE = Reserve("alice", "r1", 60, 10 * SECOND, True, 5, True, "chat", (("a", "é"),))
RESERVE_USE = Reserve("alice", "r1", 0, 10 * SECOND, service="talk", priced=USED)
CAPTURE = Capture("alice", "r1", "hold", 5, False, (("a", "é"),), -7)
CAPTURE_USE = Capture("alice", "r1", "hold", 0, priced=USED)
RELEASE = Release("alice", "r1", "hold")
EXTEND = Extend("alice", "r1", "hold", 5 * SECOND, 7)
POLICY = SetPolicy("alice", "r1", 7, True, True)
REVERSE = Reverse("alice", "r1", 2, 3, (("a", "é"),))
ALL = [GRANT, RESERVE, RESERVE_USE, CAPTURE, CAPTURE_USE, RELEASE, EXTEND, POLICY, REVERSE]


def other_use(**change):
    """Return the same usage but for one thing."""
    return USED._replace(usage=USED.usage._replace(**change))


SAME_ID_OTHER_REQUEST = [
    (GRANT, {"grant": None}),
    (GRANT, {"grant": GrantTerms(NOW + 8, -3, "promo")}),
    (GRANT, {"grant": GrantTerms(NOW + 9, -2, "promo")}),
    (GRANT, {"grant": GrantTerms(NOW + 9, -3, "")}),
    (RESERVE, {"amount_microcents": 61}),
    (RESERVE, {"ttl_us": 10 * SECOND + 1}),
    (RESERVE, {"captures_floor": False}),
    (RESERVE, {"floor_microcents": 0}),
    (RESERVE, {"allow_partial": False}),
    (RESERVE, {"service": ""}),
    (RESERVE, {"labels": ()}),
    (RESERVE_USE, {"priced": None}),
    (RESERVE_USE, {"service": ""}),
    (RESERVE_USE, {"service": "chat"}),
    (RESERVE_USE, {"priced": other_use(service="talk")}),
    (RESERVE_USE, {"priced": other_use(model="")}),
    (RESERVE_USE, {"priced": other_use(quantities=(("input", 5),))}),
    (CAPTURE, {"reservation_id": "other"}),
    (CAPTURE, {"cost_microcents": 0}),
    (CAPTURE, {"final": True}),
    (CAPTURE, {"labels": (("a", "e"),)}),
    (CAPTURE, {"occur_time_us": None}),
    (CAPTURE, {"occur_time_us": 0}),
    (CAPTURE_USE, {"priced": None}),
    (CAPTURE_USE, {"priced": other_use(service="talk")}),
    (CAPTURE_USE, {"priced": other_use(model="small")}),
    (CAPTURE_USE, {"priced": other_use(quantities=(("input", 5), ("output", 3)))}),
    (RELEASE, {"reservation_id": "other"}),
    (EXTEND, {"reservation_id": "other"}),
    (EXTEND, {"ttl_us": None}),
    (EXTEND, {"ttl_us": 5 * SECOND + 1}),
    (EXTEND, {"add_microcents": 0}),
    (EXTEND, {"fill_to_microcents": 0}),
    (POLICY, {"credit_limit_microcents": None}),
    (POLICY, {"credit_limit_microcents": 0}),
    (POLICY, {"unlimited": None}),
    (POLICY, {"unlimited": False}),
    (POLICY, {"frozen": None}),
    (POLICY, {"frozen": False}),
    (REVERSE, {"version": 1}),
    (REVERSE, {"amount_microcents": None}),
    (REVERSE, {"amount_microcents": 4}),
    (REVERSE, {"labels": ()}),
]


def teller_for(command):
    """Return a teller who has done the command, and the entry of that."""
    teller = Teller(1000)
    teller.does(cost("alice", 20))
    teller.does(reserve("alice", 40, "hold"))
    return teller, teller.does(command)


@pytest.mark.parametrize(
    ("command", "stored"),
    [
        (GRANT, 2158204029284958648),
        (RESERVE, 468443397969881956),
        (RESERVE_USE, 3588850028773092393),
        (CAPTURE, -2135539065493898001),
        (CAPTURE_USE, -8240773527862905391),
        (RELEASE, -6342398682597125323),
        (EXTEND, 2590860771452022468),
        (POLICY, 1175263907154208547),
        (REVERSE, -4244858798730315980),
        (Expire("alice", "expiry 2", "hold"), -1424304945106447551),
    ],
)
def test_the_fingerprint_never_changes(command, stored):
    """Fingerprints stand in files: the same request has this very one in every version of meterd."""
    assert stored == fingerprint(command)


@pytest.mark.parametrize(("command", "change"), SAME_ID_OTHER_REQUEST)
def test_every_field_of_the_request_counts(command, change):
    """Under the same id, a request that differs in one field is a different request."""
    teller, entry = teller_for(command)
    assert Reason.REQUEST_ID_REUSED == teller.refuses(command._replace(**change))
    assert entry == teller.asks(command).entry


def test_the_fields_tested_are_all_there_are():
    """A field added to a command has to be told apart above, or be one that is no part of what was asked."""
    for command in ALL[1:]:
        tested = {field for of, change in SAME_ID_OTHER_REQUEST for field in change if type(of) is type(command)}
        assert set(command._fields) == tested | {"user_id", "request_id", "request_id_is_new"}


@pytest.mark.parametrize("command", ALL)
def test_the_same_request_is_a_replay(command):
    """The same request again gets the entry of the first one, and the account as it is now, even after all has changed."""
    teller, entry = teller_for(command)
    teller.asks(Release("alice", "later", "hold"))
    teller.does(SetPolicy("alice", "frozen", frozen=True))
    teller.now_us += 3600 * SECOND
    teller.does(funding("alice", 5))
    assert Applied(entry, teller.account, replayed=True) == teller.asks(command)


@pytest.mark.parametrize("command", [RESERVE_USE, CAPTURE_USE])
def test_a_price_that_changed_is_no_part_of_a_request(command):
    """Usage that is sent again under a newer card is a replay of what it came to by the older one."""
    teller, entry = teller_for(command)
    dearer = command._replace(priced=USED._replace(picocents=99_000_000, rate_card=RateCardKey("chat", "large", 4)))
    assert entry == teller.asks(dearer).entry


def test_what_is_done_counts():
    """Requests of different kinds differ, even if they say the same."""
    same = ("alice", "r1", "hold")
    made = [fingerprint(kind(*same)) for kind in (Release, Expire, Extend)]
    assert 3 == len(set(made))
    entry = teller_for(Release(*same))[1]
    assert Reason.REQUEST_ID_REUSED == replay(entry, Teller().account, Extend(*same)).reason
