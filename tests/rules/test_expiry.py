"""What a reservation's expiry charges is spent, as any cost is."""

from meterd_server.model import Account, EntryKind, Expire, Reserve
from meterd_server.rules import Facts, apply, decide_batch, expiry_request_id
from rules.commands import funding

NOW = 1_700_000_000_000_000


def test_what_an_expiry_charges_is_spent():
    """The floor is charged when the time is over: it is counted as spent, funded stays, and nothing is held any more."""
    reserve = Reserve("alice", "hold", 60, 1, captures_floor=True, floor_microcents=25)
    before = decide_batch({"alice": Account("alice")}, {}, [funding("alice", 100), reserve], NOW)
    expire = [Expire("alice", expiry_request_id(2), "hold")]
    facts = Facts({("alice", "hold"): before.entries[1].more.reservation}, {})
    after = decide_batch(before.accounts, {}, expire, NOW + 10**6, facts)
    (entry,), account = after.entries, after.accounts["alice"]
    assert (EntryKind.EXPIRY, -25, 75) == (entry.kind, entry.amount_microcents, entry.balance_microcents)
    assert (100, 25, 75, 75) == (
        account.funded_microcents,
        account.spent_microcents,
        account.balance_microcents,
        account.available_microcents,
    )
    assert apply(before.accounts["alice"], entry) == account
