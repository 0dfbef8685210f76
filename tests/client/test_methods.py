"""Each method: what is sent, and what comes back."""

from datetime import UTC, datetime, timedelta, timezone

import meterd
from meterd.v1 import account_pb2, ledger_pb2, metering_pb2

BALANCE = account_pb2.Balance(
    user_id="alice",
    balance_microcents=70,
    held_microcents=5,
    available_microcents=75,
    funded_microcents=100,
    spent_microcents=20,
    lapsed_microcents=10,
    credit_limit_microcents=10,
    unlimited=True,
    version=3,
    residue_picocents=999_999,
)
BALANCE_VALUE = meterd.Balance(
    user_id="alice",
    balance_microcents=70,
    held_microcents=5,
    available_microcents=75,
    funded_microcents=100,
    spent_microcents=20,
    lapsed_microcents=10,
    credit_limit_microcents=10,
    unlimited=True,
    version=3,
    residue_picocents=999_999,
)


def entries(*versions):
    """Return Entry messages that have only a version."""
    return [account_pb2.Entry(user_id="alice", version=version) for version in versions]


def test_get_balance(client, daemon):
    """Every field of a balance comes through."""
    daemon.script.append(ledger_pb2.GetBalanceResponse(balance=BALANCE))
    assert BALANCE_VALUE == client.get_balance("alice")
    assert [ledger_pb2.GetBalanceRequest(user_id="alice")] == daemon.requests


def test_check_allowed_is_truthy(client, daemon):
    """An allowed check is true, and leaves the minimum to the daemon when none was given."""
    daemon.script.append(metering_pb2.CheckResponse(allowed=True, available_microcents=75, balance=BALANCE))
    assert client.check("alice")
    assert not daemon.requests[0].HasField("minimum_microcents")


def test_check_denied_is_falsy(client, daemon):
    """A denied check is false and says what is missing; a minimum of 0 is sent as 0."""
    daemon.script.append(
        metering_pb2.CheckResponse(available_microcents=-5, shortfall_microcents=5, balance=BALANCE),
    )
    result = client.check("alice", 0)
    assert not result
    expected = meterd.CheckResult(allowed=False, available_microcents=-5, shortfall_microcents=5, balance=BALANCE_VALUE)
    assert expected == result
    assert daemon.requests[0].HasField("minimum_microcents")


def test_record_cost_sends_everything(client, daemon):
    """Every argument of record_cost reaches its field."""
    moment = datetime(2026, 11, 3, 4, 5, 6, 123457, tzinfo=UTC)
    client.record_cost(
        "alice", 5_000, service="chat", labels={"k": "v"}, request_id="r-1", reject_overdraft=True, occur_time=moment
    )
    expected = metering_pb2.RecordCostRequest(
        user_id="alice",
        cost_microcents=5_000,
        service="chat",
        labels={"k": "v"},
        request_id="r-1",
        overdraft_policy=metering_pb2.OVERDRAFT_POLICY_REJECT,
    )
    expected.occur_time.FromDatetime(moment)
    assert [expected] == daemon.requests


def test_recorded(client, daemon):
    """An answer becomes a Recorded with the entry, the balance and whether it was replayed."""
    entry = account_pb2.Entry(
        user_id="alice",
        version=3,
        kind=account_pb2.ENTRY_KIND_COST,
        amount_microcents=-20,
        balance_microcents=70,
        request_id="r-1",
        service="chat",
        labels={"k": "v"},
        record_time={"seconds": 1, "nanos": 999_999_999},
    )
    daemon.script.append(metering_pb2.RecordCostResponse(entry=entry, balance=BALANCE, replayed=True))
    expected = meterd.Entry(
        user_id="alice",
        version=3,
        kind=meterd.EntryKind.COST,
        amount_microcents=-20,
        balance_microcents=70,
        request_id="r-1",
        service="chat",
        labels={"k": "v"},
        occur_time=None,
        record_time=datetime(1970, 1, 1, 0, 0, 1, 999_999, tzinfo=UTC),
    )
    assert meterd.Recorded(entry=expected, balance=BALANCE_VALUE, replayed=True) == client.record_cost("alice", 20)


def test_a_cost_of_zero_is_sent(client, daemon):
    """Free use is still use: a cost of 0 is given, not left out."""
    client.record_cost("alice", 0)
    assert daemon.requests[0].WhichOneof("cost") == "cost_microcents"


def test_occur_time_survives_to_the_microsecond(client):
    """A time goes to the daemon and back exactly, whatever its zone, for all years that exist."""
    moments = [
        datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ]
    assert moments == [client.record_cost("alice", 1, occur_time=moment).entry.occur_time for moment in moments]


def test_record_funding(client, daemon):
    """An amount is sent as an amount."""
    assert client.record_funding("alice", 7, request_id="p-1", labels={"k": "v"}).entry.kind is meterd.EntryKind.FUNDING
    expected = metering_pb2.RecordFundingRequest(
        user_id="alice", request_id="p-1", amount_microcents=7, labels={"k": "v"}
    )
    assert [expected] == daemon.requests


def test_update_funding(client, daemon):
    """An update is sent as old and new total, zeros included."""
    client.update_funding("alice", old_amount_microcents=0, new_amount_microcents=9, request_id="p-2")
    update = metering_pb2.FundingUpdate(old_amount_microcents=0, new_amount_microcents=9)
    assert [metering_pb2.RecordFundingRequest(user_id="alice", request_id="p-2", update=update)] == daemon.requests


def test_list_entries_iterates_over_all_pages(client, daemon):
    """Pages are fetched by their token until there is none, an empty page in between included."""
    daemon.script.extend(
        [
            ledger_pb2.ListEntriesResponse(entries=entries(1, 2), next_page_token="a"),
            ledger_pb2.ListEntriesResponse(next_page_token="b"),
            ledger_pb2.ListEntriesResponse(entries=entries(3)),
        ]
    )
    assert [1, 2, 3] == [entry.version for entry in client.list_entries("alice", oldest_first=True, page_size=2)]
    assert ["", "a", "b"] == [request.page_token for request in daemon.requests]
    assert {("version asc", 2)} == {(request.order_by, request.page_size) for request in daemon.requests}


def test_list_entries_is_lazy(client, daemon):
    """A page is fetched only when its first entry is wanted."""
    daemon.script.append(ledger_pb2.ListEntriesResponse(entries=entries(2, 1), next_page_token="a"))
    iterator = client.list_entries("alice")
    assert 0 == len(daemon.requests)
    assert [2, 1] == [next(iterator).version, next(iterator).version]
    assert 1 == len(daemon.requests)


def test_list_entries_page(client, daemon):
    """One page comes with the token of the next, newest first unless asked otherwise."""
    daemon.script.append(ledger_pb2.ListEntriesResponse(entries=entries(9), next_page_token="b"))
    page = client.list_entries_page("alice", page_size=1, page_token="a")
    assert ((9,), "b") == (tuple(entry.version for entry in page.entries), page.next_page_token)
    expected = ledger_pb2.ListEntriesRequest(user_id="alice", page_size=1, page_token="a", order_by="version desc")
    assert [expected] == daemon.requests


def test_list_balances_iterates_over_all_pages(client, daemon):
    """Accounts come page by page, each fetched by the last one's token when it is wanted, until there is none."""
    pages = [(["alice", "bob"], "a"), ([], "b"), (["carol"], "")]
    for users, token in pages:
        balances = [account_pb2.Balance(user_id=user_id, held_microcents=len(user_id)) for user_id in users]
        daemon.script.append(ledger_pb2.ListBalancesResponse(balances=balances, next_page_token=token))
    found = client.list_balances(page_size=2)
    assert (0, "alice", 1) == (len(daemon.requests), next(found).user_id, len(daemon.requests))
    assert [("bob", 3), ("carol", 5)] == [(each.user_id, each.held_microcents) for each in found]
    assert [(2, ""), (2, "a"), (2, "b")] == [(each.page_size, each.page_token) for each in daemon.requests]


def test_a_kind_of_a_newer_daemon_is_unknown(client, daemon):
    """An entry kind that this client does not know does not stop it from reading the entry."""
    daemon.script.append(ledger_pb2.ListEntriesResponse(entries=[account_pb2.Entry(version=1, kind=99)]))
    assert [meterd.EntryKind.UNKNOWN] == [entry.kind for entry in client.list_entries("alice")]
