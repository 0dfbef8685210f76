"""Money that expires: what is drawn from first, what lapses, what is put back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterd_server.errors import Reason
from meterd_server.model import GRANTS_MAX, Checked, Draw, EntryKind, EntryMore, Grant, GrantTerms, Lapse
from rules.commands import capture, cost, extend, funding, grant, reserve, reverse, strict_cost, update
from rules.teller import NOW, SECOND, Teller

SOON, LATER, LAST = (NOW + hours * 3600 * SECOND for hours in (1, 2, 3))


def granted(*grants, money=0):
    """Return a teller with grants of (amount, expire_time_us, priority)."""
    teller = Teller(money)
    for amount, expire_time_us, *priority in grants:
        teller.does(grant("alice", amount, expire_time_us, priority=priority[0] if priority else 0))
    return teller


def test_money_with_an_expiry_is_a_grant():
    """A grant is named by its entry, keeps what was said of it, and counts as funded."""
    teller = Teller()
    entry = teller.does(grant("alice", 50, SOON, priority=-7, label="promo"))
    assert (EntryKind.FUNDING, 50, EntryMore(grant=GrantTerms(SOON, -7, "promo"))) == (entry.kind, entry[3], entry.more)
    assert (Grant(1, 50, 50, -7, SOON, "promo"),) == teller.account.more.grants
    assert ((50, 0, 50), 50) == (teller.totals, teller.account.funded_microcents)


def test_money_with_a_label_alone_is_the_base():
    """What does not expire is no grant, whatever it is called; the entry says what was said."""
    teller = Teller()
    entry = teller.does(funding("alice", 50, grant=GrantTerms(label="card")))
    assert ("card", None) == (entry.more.grant.label, teller.account.more)


@pytest.mark.parametrize(("early", "refused"), [(0, True), (-1, True), (1, False)])
def test_a_grant_expires_in_the_future(early, refused):
    """Money that has expired already is refused, at the very microsecond as well."""
    teller = Teller()
    outcome = teller.asks(grant("alice", 50, NOW + early))
    if refused:
        assert Reason.GRANT_EXPIRED == outcome.reason
        assert {"expire_time_us": NOW + early, "now_us": NOW} == outcome.details
    assert refused == (teller.account.version == 0)


def test_costs_draw_by_priority_then_expiry_then_age():
    """The lowest priority first, then what expires first, then the oldest; the base last, below zero if need be."""
    teller = granted((10, LATER), (10, SOON), (10, SOON), (10, LAST, -1), (10, SOON, 1), money=10)
    order = [5, 3, 4, 2, 6]
    assert order == [each.version for each in teller.account.more.grants]
    entry = teller.does(cost("alice", 65))
    assert tuple(Draw(version, 10) for version in order) == entry.more.draws
    assert ([0] * 5, -5) == (teller.left, teller.account.balance_microcents)


@pytest.mark.parametrize(
    ("spent", "drawn"),
    [(0, ()), (4, ((3, 4),)), (10, ((3, 10),)), (11, ((3, 10), (2, 1))), (99, ((3, 10), (2, 10)))],
)
def test_a_cost_takes_no_more_than_it_needs(spent, drawn):
    """One grant after the other, to the microcent."""
    teller = granted((10, LATER), (10, SOON), money=10)
    entry = teller.does(cost("alice", spent))
    assert drawn == (tuple(map(tuple, entry.more.draws)) if entry.more else ())


def test_captures_and_expiries_draw_as_costs_do():
    """What is held is drawn from nothing; what is charged for it is."""
    teller = granted((50, LATER), money=100)
    teller.does(reserve("alice", 60, "r", captures_floor=True, floor_microcents=40))
    assert [50] == teller.left
    assert (Draw(2, 30),) == teller.does(capture("alice", "r", 30, final=False)).more.draws
    assert (Draw(2, 10),) == teller.expires("r").more.draws
    assert (Draw(2, 10),) == teller.does(capture("alice", "r", 25)).more.draws
    assert ([0], 95) == (teller.left, teller.account.balance_microcents)


def test_what_is_left_lapses_before_the_next_change():
    """Each grant whose time is over lapses by an entry of its own, the earliest first, before the command's own."""
    teller = granted((10, LATER, -1), (20, SOON), (30, LAST), money=5)
    teller.does(cost("alice", 4))
    teller.now_us = LATER
    entry = teller.does(cost("alice", 1))
    first, second = teller.store.entries_now("alice")[-3:-1]
    assert [(EntryKind.LAPSE, -20, "lapse 3"), (EntryKind.LAPSE, -6, "lapse 2")] == [
        (each.kind, each.amount_microcents, each.request_id) for each in (first, second)
    ]
    assert ((Draw(3, 20),), (Draw(2, 6),)) == (first.more.draws, second.more.draws)
    assert (8, (Draw(4, 1),)) == (entry.version, entry.more.draws)
    assert ([29], 26, 34) == (teller.left, teller.account.more.lapsed_microcents, teller.account.balance_microcents)


def test_a_grant_lapses_at_its_time_and_not_before():
    """A Lapse takes what is due at that very microsecond, once; an empty grant lapses, too."""
    teller = granted((10, SOON))
    teller.does(cost("alice", 10))
    teller.now_us = SOON - 1
    assert Checked(teller.account, 0) == teller.asks(Lapse("alice"))
    assert [0] == teller.left
    teller.now_us = SOON
    for _ in range(2):
        assert teller.asks(Lapse("alice")) == Checked(teller.account, 0)
        assert ([], 3) == (teller.left, teller.account.version)
    assert None is teller.account.more


def test_a_refused_command_lapses_what_was_due():
    """What is due lapses even if the command then changes nothing: it would not have been covered otherwise."""
    teller = granted((10, SOON))
    teller.now_us = SOON
    assert Reason.INSUFFICIENT_FUNDS == teller.asks(strict_cost("alice", 5)).reason
    assert (2, 0) == (teller.account.version, teller.account.balance_microcents)


def test_a_replay_lapses_nothing():
    """What is answered from the ledger leaves it as it is."""
    teller = granted((10, SOON))
    again = cost("alice", 4, "c")
    teller.does(again)
    teller.now_us = SOON
    assert teller.asks(again).replayed
    assert [6] == teller.left


def test_a_lapse_leaves_other_users_alone():
    """What is due of one user is no matter of another's command in the same batch."""
    teller = granted((10, SOON))
    teller.store.decide([funding("bob", 1)], SOON)
    assert [10] == teller.left


def test_money_held_may_lapse():
    """A reservation does not keep a grant: less is available then, and may be below nothing."""
    teller = granted((50, SOON))
    teller.does(reserve("alice", 40, "r", ttl_us=7200 * SECOND))
    teller.now_us = SOON
    assert Reason.INSUFFICIENT_FUNDS == teller.asks(extend("alice", "r", add_microcents=1)).reason
    assert (0, 40, -40) == teller.totals


def test_a_user_has_so_many_grants_at_a_time():
    """One too many is refused; an empty one counts until it lapses; money that does not expire is always taken."""
    teller = granted(*[(1, SOON)] * (GRANTS_MAX - 1), (1, LATER))
    teller.does(cost("alice", GRANTS_MAX))
    refused = teller.asks(grant("alice", 1, LATER))
    assert (Reason.TOO_MANY_GRANTS, {"grants_max": 100}) == (refused.reason, refused.details)
    teller.does(funding("alice", 1))
    teller.now_us = SOON
    teller.does(grant("alice", 1, LATER))
    assert [0, 1] == teller.left


def test_an_update_takes_from_the_base():
    """A lower funded total is the base's matter: grants stay as they are."""
    teller = granted((10, SOON), money=5)
    teller.does(update("alice", 15, 3))
    assert ([10], 3) == (teller.left, teller.account.balance_microcents)


def test_a_reversed_cost_goes_back_where_it_came_from():
    """What was drawn last goes back first: the base's part, then the grants' from the last to the first."""
    teller = granted((10, SOON), (20, LATER), money=5)
    teller.does(cost("alice", 33))
    back = [teller.does(reverse("alice", 4, part)).more.draws for part in (2, 1, 15, 10, 5)]
    assert [(), (), (Draw(3, -15),), (Draw(3, -5), Draw(2, -5)), (Draw(2, -5),)] == back
    assert ([10, 20], 35) == (teller.left, teller.account.balance_microcents)


def test_what_lapsed_meanwhile_goes_to_the_base():
    """A grant that does not stand any more gets nothing back; the user does."""
    teller = granted((10, SOON), (20, LATER))
    teller.does(cost("alice", 30))
    teller.now_us = SOON
    entry = teller.does(reverse("alice", 3))
    assert (30, (Draw(2, -20),)) == (entry.amount_microcents, entry.more.draws)
    assert ([20], 30) == (teller.left, teller.account.balance_microcents)


def test_the_reversal_of_a_grant_takes_what_is_left_of_it():
    """Money that came in as a grant is taken back from it first, in parts too, and then from the base."""
    teller = granted((10, SOON), (50, LATER), money=5)
    teller.does(cost("alice", 30))
    taken = [teller.does(reverse("alice", 3, part)).more.draws for part in (10, 30, 10)]
    assert [(Draw(3, 10),), (Draw(3, 20),), ()] == taken
    assert ([0, 0], -15, 15) == (teller.left, teller.account.balance_microcents, teller.account.funded_microcents)


def test_the_reversal_of_a_lapsed_grant_takes_from_the_base():
    """What lapsed is gone; taking the money back as well is what was asked for."""
    teller = granted((10, SOON))
    teller.now_us = SOON
    entry = teller.does(reverse("alice", 1))
    assert (-10, (), -10) == (entry.amount_microcents, entry.more.draws, entry.balance_microcents)


@given(
    grants=st.lists(st.tuples(st.integers(1, 30), st.sampled_from([SOON, LATER]), st.integers(-1, 1)), max_size=4),
    spent=st.integers(1, 150),
    parts=st.lists(st.integers(1, 60), max_size=8),
)
def test_any_split_of_reversals_puts_back_the_same(grants, spent, parts):
    """However a reversal is split into parts, the same goes back to the same grants, and at the end all is as before."""
    whole, split = (granted(*grants, money=20) for _ in range(2))
    before = (whole.left, whole.account.balance_microcents)
    entry = whole.does(cost("alice", spent))
    assert entry.more == split.does(cost("alice", spent)).more
    done = 0
    for part in parts:
        if done + part <= spent:
            split.does(reverse("alice", entry.version, part))
            done += part
    if done:
        whole.does(reverse("alice", entry.version, done))
    assert (whole.left, whole.account.balance_microcents) == (split.left, split.account.balance_microcents)
    for teller in (whole, split):
        if done < spent:
            teller.does(reverse("alice", entry.version))
        assert before == (teller.left, teller.account.balance_microcents)


@pytest.mark.parametrize("taken_back", [0, 30, 40, 70, 100])
@pytest.mark.parametrize("cost_first", [True, False])
def test_what_was_taken_back_of_a_grant_is_not_restored(taken_back, cost_first):
    """A cost and some of the funding it drew on are reversed, in either order: the grant has what still stands of its funding."""
    teller = granted((100, SOON))
    teller.does(cost("alice", 60))
    undo = [reverse("alice", 2)] + ([reverse("alice", 1, taken_back)] if taken_back else [])
    for command in undo if cost_first else reversed(undo):
        teller.does(command)
    (found,) = teller.account.more.grants
    assert (100 - taken_back,) * 2 == (found.amount_microcents, found.left_microcents)
    assert 100 - taken_back == teller.account.balance_microcents
    teller.now_us = SOON
    teller.asks(Lapse("alice"))
    assert (0, 100 - taken_back, 0) == (
        teller.account.balance_microcents,
        teller.account.funded_microcents - teller.account.spent_microcents,
        len(teller.left),
    )


def test_costs_share_what_still_stands_of_a_grant():
    """However many costs drew on a grant, reversing them restores no more of it than was not taken back; the rest is the base's."""
    teller = granted((100, SOON))
    for _ in range(3):
        teller.does(cost("alice", 30))
    teller.does(reverse("alice", 1, 50))
    draws = [teller.does(reverse("alice", version)).more.draws for version in (3, 2, 4)]
    assert [((1, -30),), ((1, -20),), ()] == draws
    assert ([50], 50) == (teller.left, teller.account.balance_microcents)
