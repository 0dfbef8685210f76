"""What every engine makes of a batch: new commands, refused ones, repeated ones and all of them mixed."""

from meterd_server.errors import Reason
from meterd_server.model import Account, Applied, EntryKind
from meterd_server.rules import fingerprint
from rules.commands import cost, funding, strict_cost, update
from store.model import Model, assert_holds, brief, entries_of

NOW = 1_700_000_000_000_000


async def test_an_outcome_for_each_command_in_order(store):
    """A batch is answered command by command, and what it changed is there."""
    outcomes = await store.commit([funding("alice", 100, "f"), cost("bob", 7, "c"), cost("alice", 30, "c")], NOW)
    assert [("alice", 1, 100), ("bob", 1, -7), ("alice", 2, 70)] == [
        (outcome.entry.user_id, outcome.entry.version, outcome.entry.balance_microcents) for outcome in outcomes
    ]
    assert Account("alice", 2, 100, 30, NOW + 1) == await store.account("alice")
    assert Account("bob", 1, 0, 7, NOW) == await store.account("bob")


async def test_an_entry_comes_back_as_it_went_in(store):
    """Every field of an entry is kept, and listing and replay give it back unchanged."""
    labels = (("a", ""), ("model", "café \N{GRINNING FACE}"), ("z", '"quoted"\\'))
    command = cost("alice", 30, "r1", service="chat", labels=labels, occur_time_us=-(10**15))
    (outcome,) = await store.commit([command], NOW)
    entry = outcome.entry
    assert (EntryKind.COST, "chat", labels, -(10**15), NOW, fingerprint(command)) == (
        entry.kind,
        entry.service,
        entry.labels,
        entry.occur_time_us,
        entry.record_time_us,
        entry.fingerprint,
    )
    assert [entry] == await entries_of(store, "alice")
    (again,) = await store.commit([command], NOW + 1)
    assert (entry, True) == (again.entry, again.replayed)
    assert [type(value) for value in entry] == [type(value) for value in again.entry]


async def test_an_empty_batch_is_nothing(store):
    """A batch without commands has no outcomes."""
    assert [] == await store.commit([], NOW)


async def test_a_replay_gets_the_entry_of_then_and_the_balance_of_now(store):
    """A repeated request makes no entry; it is told the first one's and how the account stands."""
    first = cost("alice", 5)
    (original,) = await store.commit([first], NOW)
    await store.commit([funding("alice", 100)], NOW)
    (again,) = await store.commit([first], NOW + 10**9)
    assert Applied(original.entry, await store.account("alice"), replayed=True) == again
    assert (2, 95) == (again.account.version, again.account.balance_microcents)
    assert 2 == len(await entries_of(store, "alice"))


async def test_a_strict_cost_is_replayed_when_nothing_is_left(store):
    """A cost that was taken is told so again, although it could not be taken now."""
    strict = strict_cost("alice", 60)
    _, original = await store.commit([funding("alice", 100), strict], NOW)
    await store.commit([cost("alice", 500)], NOW)
    (again,) = await store.commit([strict], NOW)
    assert (original.entry, True, -460) == (again.entry, again.replayed, again.account.balance_microcents)


async def test_an_applied_update_is_replayed(store):
    """A retry of an update that was applied is a replay and no conflict, whatever the total is by now."""
    to_80 = update("alice", 0, 80)
    (original,) = await store.commit([to_80], NOW)
    for _ in range(2):
        (again,) = await store.commit([to_80], NOW)
        assert (original.entry, True) == (again.entry, again.replayed)
        await store.commit([funding("alice", 1)], NOW)


async def test_a_command_at_the_limit_is_replayed(store):
    """A retry is a replay even if the same amount would leave the range now."""
    half = funding("alice", 5 * 10**18)
    (original,) = await store.commit([half], NOW)
    (again, other) = await store.commit([half, half._replace(request_id="other")], NOW)
    assert (original.entry, True) == (again.entry, again.replayed)
    assert Reason.AMOUNT_OUT_OF_RANGE == other.reason


async def test_a_reused_id_changes_nothing(store):
    """A different request under a recorded id is refused, in this batch and for ever."""
    await store.commit([cost("alice", 5, "r")], NOW)
    before = await store.account("alice")
    for other in (cost("alice", 6, "r"), funding("alice", 5, "r"), strict_cost("alice", 5, "r")):
        (outcome,) = await store.commit([other], NOW)
        assert Reason.REQUEST_ID_REUSED == outcome.reason
    assert before == await store.account("alice")
    assert 1 == len(await entries_of(store, "alice"))


async def test_a_refused_id_may_be_tried_again(store):
    """A rejection leaves no trace: after a top-up the same request goes through."""
    strict = strict_cost("alice", 5)
    (refused,) = await store.commit([strict], NOW)
    assert Reason.INSUFFICIENT_FUNDS == refused.reason
    assert Account("alice") == await store.account("alice")
    _, taken = await store.commit([funding("alice", 5), strict], NOW)
    assert (False, 0) == (taken.replayed, taken.account.balance_microcents)


async def test_a_conflict_tells_the_total(store):
    """A refused update names the funded total as it is in the store."""
    await store.commit([funding("alice", 30), cost("alice", 10)], NOW)
    (outcome,) = await store.commit([update("alice", 20, 50)], NOW)
    assert (Reason.FUNDING_CONFLICT, {"funded_microcents": 30}) == (outcome.reason, dict(outcome.details))


async def test_one_id_of_two_users_is_two_ids(store):
    """A request_id belongs to its user: in one batch and across batches, two users do not meet."""
    await store.commit([cost("alice", 5, "r"), cost("bob", 6, "r")], NOW)
    (carol, alice) = await store.commit([cost("carol", 7, "r"), cost("alice", 5, "r")], NOW)
    assert (False, True) == (carol.replayed, alice.replayed)
    assert [6] == [-entry.amount_microcents for entry in await entries_of(store, "bob")]


async def test_duplicates_within_a_batch_are_one_entry(store):
    """The same request several times in a batch is applied once."""
    command = cost("alice", 5)
    outcomes = await store.commit([command] * 5, NOW)
    assert [False, True, True, True, True] == [outcome.replayed for outcome in outcomes]
    assert 1 == len({outcome.entry for outcome in outcomes})
    assert 1 == len(await entries_of(store, "alice"))


async def test_a_batch_of_everything(store):
    """New, replayed, reused and refused commands side by side each get their own outcome, in any order."""
    users = ["alice", "bob", "carol"]
    model = Model()
    past = [funding("alice", 50, "f"), strict_cost("alice", 50, "s"), update("bob", 0, 9, "u")]
    batch = [
        cost("carol", 1, "new"),  # a user whom only this batch knows
        past[1],  # a replay that looks like INSUFFICIENT_FUNDS
        past[2],  # a replay that looks like FUNDING_CONFLICT
        strict_cost("alice", 1, "no"),  # refused
        funding("alice", 7, "f"),  # reused
        past[0],  # a replay that looks like new money...
        strict_cost("alice", 50, "n1"),  # ...which this must not spend
        strict_cost("bob", 9, "n2"),
        strict_cost("bob", 1, "n3"),  # refused
        cost("carol", 1, "new"),  # a duplicate in the batch
        cost("carol", 2, "new"),  # reused in the batch
        funding("alice", 3, "n4"),
        strict_cost("alice", 3, "no"),  # reuses an id that was refused
    ]
    for order in (past, batch, batch[::-1], batch):
        assert model.commit(order) == brief(await store.commit(order, NOW))
        await assert_holds(store, model, users)


async def test_a_new_id_of_this_server_is_not_looked_for(store):
    """Commands whose id this server made are applied and refused as any other, and can be retried by the caller."""
    fresh = [cost("alice", 5, "mine", request_id_is_new=True), strict_cost("alice", 1)._replace(request_id_is_new=True)]
    applied, refused = await store.commit(fresh, NOW)
    assert (False, Reason.INSUFFICIENT_FUNDS) == (applied.replayed, refused.reason)
    (again,) = await store.commit([cost("alice", 5, "mine")], NOW)
    assert (applied.entry, True) == (again.entry, again.replayed)


async def test_a_large_batch(store):
    """A batch of thousands of commands over hundreds of users is one commit like any other."""
    model = Model()
    users = [f"user-{number}" for number in range(300)]
    batch = [cost(users[number * 7 % 300], number) for number in range(3000)]
    assert model.commit(batch) == brief(await store.commit(batch, NOW))
    assert model.commit(batch[::-1]) == brief(await store.commit(batch[::-1], NOW))
    await assert_holds(store, model, users)


async def test_record_time_goes_on_from_the_last_entry(store):
    """A clock that was set back does not reorder what is stored."""
    for now_us in (NOW, NOW - 10**15, NOW - 10**15, NOW + 10):
        await store.commit([cost("alice", 1)], now_us)
    assert [0, 1, 2, 10] == [entry.record_time_us - NOW for entry in await entries_of(store, "alice")]


async def test_a_repeated_batch_whose_refusals_hide_others(store):
    """A batch that spent what it funded and gave the rest back is replayed whole, though most of it would be refused anew."""
    batch = [
        strict_cost("alice", 0, "r5"),
        update("alice", 0, 100, "r6"),
        strict_cost("alice", 1, "r10"),
        update("alice", 5, 1, "r6"),
        update("alice", 100, 0, "r12"),
    ]
    model = Model()
    assert model.commit(batch) == brief(await store.commit(batch, NOW))
    assert model.commit(batch) == brief(await store.commit(batch, NOW + 1))
    await assert_holds(store, model, ("alice",))
