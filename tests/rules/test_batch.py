"""A batch is its commands one after the other, whatever its boundaries are."""

from hypothesis import given
from hypothesis import strategies as st

from meterd_server.errors import Reason
from meterd_server.model import Account, Applied
from meterd_server.rules import apply, decide, decide_batch
from rules.commands import commands, cost, funding, strict_cost, update

NOW = 1_700_000_000_000_000
USERS = ("alice", "bob")
NOBODY = {user_id: Account(user_id) for user_id in USERS}


def reasons(decision):
    """Return each outcome in a word: its reason, "replayed" or "applied"."""
    return [
        ("replayed" if outcome.replayed else "applied") if isinstance(outcome, Applied) else outcome.reason
        for outcome in decision.outcomes
    ]


def run(batches):
    """Return (outcomes, entries, accounts) of batches decided one after the other, as a store would."""
    accounts, recorded, outcomes, entries = dict(NOBODY), {}, [], []
    for batch in batches:
        decision = decide_batch(accounts, recorded, batch, NOW)
        accounts |= decision.accounts
        recorded |= {(entry.user_id, entry.request_id): entry for entry in decision.entries}
        outcomes += decision.outcomes
        entries += decision.entries
    return outcomes, entries, accounts


def test_each_command_sees_those_before_it():
    """Money that a batch brings can be spent by a later command of the batch, and not by an earlier one."""
    batch = [strict_cost("alice", 5), funding("alice", 5), strict_cost("alice", 5), strict_cost("alice", 1)]
    decision = decide_batch(NOBODY, {}, batch, NOW)
    assert [Reason.INSUFFICIENT_FUNDS, "applied", "applied", Reason.INSUFFICIENT_FUNDS] == reasons(decision)
    assert [1, 2] == [entry.version for entry in decision.entries]
    assert {"alice": Account("alice", 2, 5, 5, NOW + 1)} == decision.accounts


def test_a_rejection_does_not_spoil_its_neighbours():
    """What stands beside a refused command comes out as if that command had not been there."""
    good = [funding("alice", 10), cost("bob", 3), cost("alice", 4)]
    bad = [strict_cost("alice", 99), update("alice", 7, 8), funding("bob", 10**19)]
    mixed = decide_batch(NOBODY, {}, [good[0], bad[0], good[1], bad[1], bad[2], good[2]], NOW)
    assert decide_batch(NOBODY, {}, good, NOW) == mixed._replace(outcomes=[mixed.outcomes[i] for i in (0, 2, 5)])
    refused = [Reason.INSUFFICIENT_FUNDS, Reason.FUNDING_CONFLICT, Reason.AMOUNT_OUT_OF_RANGE]
    assert refused == [reasons(mixed)[i] for i in (1, 3, 4)]


def test_a_duplicate_inside_a_batch_is_a_replay():
    """The same request twice in a batch makes one entry, and both get it."""
    command = cost("alice", 4)
    decision = decide_batch(NOBODY, {}, [command, cost("alice", 1), command], NOW)
    assert ["applied", "applied", "replayed"] == reasons(decision)
    assert decision.outcomes[0].entry == decision.outcomes[2].entry
    assert (2, -5) == (len(decision.entries), decision.outcomes[2].account.balance_microcents)


def test_reuse_inside_a_batch_is_refused():
    """Another request under an id that the batch used already is refused."""
    decision = decide_batch(NOBODY, {}, [cost("alice", 4, "r"), cost("alice", 5, "r"), funding("alice", 4, "r")], NOW)
    assert ["applied", Reason.REQUEST_ID_REUSED, Reason.REQUEST_ID_REUSED] == reasons(decision)


def test_a_refused_id_is_free_within_the_batch():
    """A rejection is not recorded: after a top-up the same id is tried again, even as a different request."""
    batch = [strict_cost("alice", 4, "r"), funding("alice", 4), strict_cost("alice", 4, "r"), cost("bob", 1, "s")]
    decision = decide_batch(NOBODY, {}, batch, NOW)
    assert [Reason.INSUFFICIENT_FUNDS, "applied", "applied", "applied"] == reasons(decision)


def test_the_same_id_of_two_users_is_two_ids():
    """A request_id is one user's own."""
    decision = decide_batch(NOBODY, {}, [cost("alice", 4, "r"), cost("bob", 5, "r")], NOW)
    assert ["applied", "applied"] == reasons(decision)


def test_what_was_recorded_before_is_replayed():
    """An id found in the store is replayed or refused, and leaves no trace in what is to be written."""
    entry = decide(NOBODY["alice"], cost("alice", 4, "r"), NOW).entry
    accounts = NOBODY | {"alice": apply(NOBODY["alice"], entry)}
    batch = [cost("alice", 4, "r"), cost("alice", 5, "r")]
    decision = decide_batch(accounts, {("alice", "r"): entry}, batch, NOW)
    assert ["replayed", Reason.REQUEST_ID_REUSED] == reasons(decision)
    assert ([], {}) == (decision.entries, decision.accounts)


def test_an_empty_batch_is_nothing():
    """A batch of no commands has no outcomes and writes nothing."""
    assert ([], [], {}) == decide_batch({}, {}, [], NOW)


def test_what_was_loaded_is_not_changed():
    """The accounts given stay as they are: only what comes out is new."""
    accounts = dict(NOBODY)
    decide_batch(accounts, {}, [funding("alice", 5)], NOW)
    assert NOBODY == accounts


@given(st.lists(commands(), max_size=30), st.data())
def test_boundaries_do_not_matter(sequence, data):
    """A sequence comes to the same entries, outcomes and accounts however it is cut into batches."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(sequence)))))
    pieces = [sequence[a:b] for a, b in zip([0, *cuts], [*cuts, len(sequence)], strict=True)]
    assert run([sequence]) == run(pieces) == run([command] for command in sequence)


@given(st.lists(commands(amounts=(0, 1, 7, 10**15)), max_size=40))
def test_sums_hold_for_any_sequence(sequence):
    """Balance = funded - spent = the sum of the entries' amounts, after every entry, in versions without a gap."""
    outcomes, entries, accounts = run([sequence])
    assert len(sequence) == len(outcomes)
    for user_id in USERS:
        mine = [entry for entry in entries if entry.user_id == user_id]
        assert list(range(1, len(mine) + 1)) == [entry.version for entry in mine]
        assert len(mine) == len({entry.request_id for entry in mine})
        balance = 0
        for entry in mine:
            balance += entry.amount_microcents
            assert balance == entry.balance_microcents
        account = accounts[user_id]
        assert balance == account.balance_microcents == account.funded_microcents - account.spent_microcents


@given(st.lists(commands(), max_size=40))
def test_an_account_is_rebuilt_from_its_entries(sequence):
    """Applying a user's entries in order to nothing gives the very account that deciding gave."""
    _, entries, accounts = run([sequence])
    rebuilt = dict(NOBODY)
    for entry in entries:
        rebuilt[entry.user_id] = apply(rebuilt[entry.user_id], entry)
    assert accounts == rebuilt


@given(st.lists(commands(), max_size=40))
def test_every_outcome_names_its_account_as_of_then(sequence):
    """An applied outcome carries the account right after it; a strict cost never leaves one below zero."""
    outcomes, entries, _ = run([sequence])
    accounts = dict(NOBODY)
    for command, outcome in zip(sequence, outcomes, strict=True):
        if not isinstance(outcome, Applied):
            continue
        if not outcome.replayed:
            accounts[command.user_id] = apply(accounts[command.user_id], outcome.entry)
            assert not (getattr(command, "reject_overdraft", False) and outcome.entry.balance_microcents < 0)
        assert accounts[command.user_id] == outcome.account
        assert outcome.entry in entries
