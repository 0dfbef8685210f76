"""Commands, outcomes, entries and errors come out of a frame as they went in."""

import asyncio
import marshal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterd_server.errors import Overloaded, Reason, StoreUnavailable
from meterd_server.model import (
    Account,
    AccountMore,
    Applied,
    Capture,
    Check,
    Checked,
    CostColumns,
    Draw,
    Entry,
    EntryKind,
    EntryMore,
    Expire,
    Extend,
    Grant,
    GrantTerms,
    Lapse,
    Policy,
    PricedUsage,
    RateCardKey,
    RecordCost,
    RecordedColumns,
    RecordFunding,
    Rejection,
    Release,
    Reservation,
    ReservationState,
    Reserve,
    Reversal,
    Reverse,
    SetPolicy,
    Usage,
)
from meterd_server.rules import decide_batch
from meterd_server.workers import frames
from rules.commands import cost, decided, distinct, in_columns, plain_costs, plain_usages

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
LABELS = st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)
USERS = st.sampled_from(["ada", "bob", "漢字"])
AMOUNTS = st.integers(0, 10**15)
TIME = st.none() | INT64

USAGES = st.builds(Usage, TEXT, TEXT, st.lists(st.tuples(TEXT, AMOUNTS), max_size=3).map(tuple))
CARD_KEYS = st.builds(RateCardKey, TEXT, TEXT, st.integers(1, 2**31 - 1))
PRICED = st.none() | st.builds(PricedUsage, USAGES, st.integers(0, 10**21), CARD_KEYS)

FLAG = st.booleans()
SOME_FLAG = st.none() | FLAG
AMOUNT = st.none() | AMOUNTS
POLICIES = st.builds(Policy, AMOUNTS, FLAG, FLAG)
TERMS = st.none() | st.builds(GrantTerms, TIME, INT64, TEXT)

COMMANDS = st.one_of(
    st.builds(RecordCost, USERS, TEXT, AMOUNTS, TEXT, LABELS, FLAG, TIME, FLAG, PRICED),
    st.builds(RecordFunding, USERS, TEXT, AMOUNTS, AMOUNT, LABELS, FLAG, TERMS),
    st.builds(Check, USERS, AMOUNTS, st.none() | st.integers(0, 10**21)),
    st.builds(Reserve, USERS, TEXT, AMOUNTS, AMOUNTS, FLAG, AMOUNTS, FLAG, TEXT, LABELS, FLAG, PRICED),
    st.builds(Capture, USERS, TEXT, TEXT, AMOUNTS, FLAG, LABELS, TIME, FLAG, PRICED),
    st.builds(Release, USERS, TEXT, TEXT, FLAG),
    st.builds(Extend, USERS, TEXT, TEXT, AMOUNT, AMOUNTS, FLAG),
    st.builds(SetPolicy, USERS, TEXT, AMOUNT, SOME_FLAG, SOME_FLAG, FLAG),
    st.builds(Reverse, USERS, TEXT, st.integers(1, 9), AMOUNT, LABELS, FLAG),
    st.builds(Expire, USERS, TEXT, TEXT, FLAG),
    st.builds(Lapse, USERS),
)
GRANTS = st.builds(Grant, INT64, AMOUNTS, AMOUNTS, INT64, INT64, TEXT)
ACCOUNT_MORES = st.builds(AccountMore, AMOUNTS, AMOUNTS, POLICIES, st.lists(GRANTS, max_size=3).map(tuple))
ACCOUNTS = st.builds(Account, TEXT, INT64, INT64, INT64, INT64, st.integers(0, 999_999), st.none() | ACCOUNT_MORES)
RESERVATIONS = st.builds(
    Reservation,
    *(TEXT, INT64, st.sampled_from(ReservationState), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, FLAG, INT64, AMOUNTS, TEXT),
)
ENTRY_MORES = st.builds(
    EntryMore,
    INT64,
    st.none() | RESERVATIONS,
    FLAG,
    FLAG,
    st.lists(st.builds(Draw, INT64, INT64), max_size=3).map(tuple),
    TERMS,
    st.none() | POLICIES,
    st.none() | st.builds(Reversal, INT64, AMOUNTS),
)
KINDS = st.sampled_from(EntryKind)
ENTRIES = st.builds(
    Entry,
    *(TEXT, INT64, KINDS, INT64, INT64, TEXT, INT64, TEXT, LABELS, TIME, INT64, st.integers(0, 999_999)),
    st.none() | USAGES,
    st.none() | CARD_KEYS,
    st.none() | ENTRY_MORES,
)
DISTINCT = (plain_costs(request_ids=10**6) | plain_usages(request_ids=10**6)).map(distinct)
OUTCOMES = st.one_of(
    st.builds(Applied, ENTRIES, ACCOUNTS, st.just(True)),
    st.builds(Checked, ACCOUNTS, INT64),
    st.builds(Rejection, st.sampled_from(Reason), TEXT, st.dictionaries(TEXT, INT64, max_size=3)),
)


def _sent(packed):
    """What arrives of what is sent."""
    return marshal.loads(marshal.dumps(packed))


def _with_types(values):
    """Values with the types of all that is in them: a plain tuple equals a NamedTuple, and an int an enum."""
    return [(type(value), _with_types(value) if isinstance(value, tuple) else value) for value in values]


@given(st.lists(COMMANDS))
def test_commands(commands):
    """Every command arrives as it was, whatever its neighbours are."""
    assert _with_types(commands) == _with_types(frames.unpack_commands(_sent(frames.pack_commands(commands))))


@given(st.lists(st.tuples(COMMANDS, OUTCOMES)))
def test_outcomes(pairs):
    """Every outcome that its command does not foretell arrives as it was."""
    commands, outcomes = [command for command, _ in pairs], [outcome for _, outcome in pairs]
    arrived = frames.unpack_outcomes(commands, _sent(frames.pack_outcomes(commands, outcomes)))
    assert _with_types(outcomes) == _with_types(arrived)


@given(st.lists(COMMANDS, min_size=1, max_size=20), INT64.filter(lambda now: now < 2**62))
def test_outcomes_of_the_rules(commands, now_us):
    """What the rules make of any commands arrives as it was, of plain new entries only what the command does not say being sent."""
    accounts = {user_id: Account(user_id) for user_id in ("ada", "bob", "漢字")}
    outcomes = decide_batch(accounts, {}, commands, now_us).outcomes
    packed = _sent(frames.pack_outcomes(commands, outcomes))
    assert _with_types(outcomes) == _with_types(frames.unpack_outcomes(commands, packed))
    is_new = [
        isinstance(outcome, Applied)
        and not outcome.replayed
        and outcome.entry.kind in (EntryKind.COST, EntryKind.FUNDING)
        and outcome.entry.more is outcome.account.more is None
        for outcome in outcomes
    ]
    assert is_new == [all(isinstance(value, int) for value in row) for row in packed]


@given(DISTINCT)
def test_columns(costs):
    """Costs in columns arrive in columns, and so does what became of them."""
    sent = in_columns(costs)
    arrived = frames.unpack_commands(_sent(frames.pack_commands(sent)))
    assert (CostColumns, _with_types(costs)) == (type(arrived), _with_types(arrived))
    outcomes, _ = decided({user_id: Account(user_id) for user_id in ("alice", "bob")}, arrived, 5)
    answered = frames.unpack_outcomes(sent, _sent(frames.pack_outcomes(arrived, outcomes)))
    assert (RecordedColumns, _with_types(outcomes)) == (type(answered), _with_types(answered))


def test_columns_of_other_costs():
    """An answer in columns is taken for no other commands than as many costs in columns."""
    costs = [cost("ada", 1), cost("ada", 2)]
    outcomes, _ = decided({"ada": Account("ada")}, in_columns(costs), 5)
    packed = _sent(frames.pack_outcomes(in_columns(costs), outcomes))
    for commands in (costs, in_columns(costs[:1])):
        with pytest.raises(ValueError, match="columns of no costs"):
            frames.unpack_outcomes(commands, packed)


@given(ENTRIES)
def test_entries(entry):
    """An entry of a listing arrives as it was."""
    assert _with_types([entry]) == _with_types([frames.unpack_entry(_sent(frames.pack_entry(entry)))])


@pytest.mark.parametrize("error", [Overloaded("text"), StoreUnavailable("text")])
def test_errors_on_purpose(error):
    """What a ledger raises on purpose arrives as the same error, without its text, which is for the log of its own process."""
    arrived = frames.unpack_error(_sent(frames.pack_error(error)))
    assert (type(error), True) == (type(arrived), "text" not in str(arrived))


def test_other_errors():
    """A fault arrives as one, and a cancellation as an unknown outcome."""
    assert RuntimeError is type(frames.unpack_error(frames.pack_error(KeyError("x"))))
    assert StoreUnavailable is type(frames.unpack_error(frames.pack_error(asyncio.CancelledError())))


def test_outcomes_that_are_not_the_commands():
    """An answer of another length, or an entry for a Check, is never taken for one."""
    with pytest.raises(ValueError, match="zip"):
        frames.unpack_outcomes([Check("ada", 1)], [])
    with pytest.raises(ValueError, match="an entry of no command"):
        frames.unpack_outcomes([Check("ada", 1)], [(1, 2, 3, 4, 5, 6, 7, 8)])
