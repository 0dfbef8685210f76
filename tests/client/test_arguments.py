"""What cannot be sent faithfully is refused by name, before anything is sent."""

from datetime import date, datetime
from decimal import Decimal

import pytest

from meterd import RateCard

BAD = [
    ("record_cost", ("alice", 1.0), {}, TypeError, "cost_microcents must be an int, not float"),
    ("record_cost", ("alice", True), {}, TypeError, "cost_microcents must be an int, not bool"),
    ("record_cost", ("alice", Decimal(1)), {}, TypeError, "cost_microcents must be an int, not Decimal"),
    ("record_cost", ("alice", "1"), {}, TypeError, "cost_microcents must be an int, not str"),
    ("record_cost", ("alice", 2**63), {}, ValueError, "cost_microcents does not fit 64 bits"),
    ("record_cost", (b"alice", 1), {}, TypeError, "user_id must be a str, not bytes"),
    ("record_cost", ("alice", 1), {"service": None}, TypeError, "service must be a str"),
    ("record_cost", ("alice", 1), {"labels": {"k": 1}}, TypeError, r"labels\['k'\] must be a str, not int"),
    ("record_cost", ("alice", 1), {"labels": [("k", "v")]}, TypeError, "labels must be a mapping"),
    ("record_cost", ("alice", 1), {"request_id": ""}, ValueError, "request_id must not be empty"),
    ("record_cost", ("alice", 1), {"request_id": 7}, TypeError, "request_id must be a str, not int"),
    ("record_cost", ("alice", 1), {"occur_time": datetime(2026, 1, 1)}, ValueError, "occur_time needs a time zone"),  # noqa: DTZ001
    ("record_cost", ("alice", 1), {"occur_time": date(2026, 1, 1)}, TypeError, "occur_time must be a datetime"),
    ("record_cost", ("alice", 1), {"timeout_seconds": 0}, ValueError, "timeout_seconds must be"),
    ("record_funding", ("alice", 1.5), {}, TypeError, "amount_microcents must be an int"),
    ("check", ("alice", 0.5), {}, TypeError, "minimum_microcents must be an int"),
    ("list_entries_page", ("alice",), {"page_size": 2**31}, ValueError, "page_size does not fit 32 bits"),
    ("list_entries", ("alice",), {"page_size": 1.0}, TypeError, "page_size must be an int"),
    ("get_balance", (None,), {}, TypeError, "user_id must be a str"),
    ("record_usage", ("alice", "chat"), {"input_tokens": 1.0}, TypeError, "input_tokens must be an int, not float"),
    ("record_usage", ("alice", "chat"), {"request_ld": "r-1"}, TypeError, "request_ld must be an int, not str"),
    ("record_usage", ("alice", "chat"), {"quantities": {1: 2}}, TypeError, "a meter must be a str, not int"),
    (
        "record_usage",
        ("alice", "chat"),
        {"quantities": [("a", 1)]},
        TypeError,
        "quantities must be a mapping, not list",
    ),
    ("record_usage", ("alice", "chat"), {"quantities": {"a": 1}, "a": 2}, ValueError, "a is given twice"),
    ("record_usage", ("alice", "chat"), {"a": 2**63}, ValueError, "a does not fit 64 bits"),
    ("record_usage", ("alice", None), {"a": 1}, TypeError, "service must be a str"),
    ("record_usage", ("alice", "chat"), {"model": 4}, TypeError, "model must be a str"),
    ("record_usage", ("alice", "chat"), {"a": 1, "request_id": ""}, ValueError, "request_id must not be empty"),
    ("check_usage", ("alice", "chat"), {"a": "1"}, TypeError, "a must be an int, not str"),
    ("quote", ("alice", "chat"), {"a": 1, "affordable": None}, TypeError, "affordable must be a str"),
    ("put_rate_cards", ([{"service": "chat"}],), {}, TypeError, r"cards\[0\] must be a RateCard, not dict"),
    (
        "put_rate_cards",
        ([RateCard("chat", prices_picocents={"a": 0.5})],),
        {},
        TypeError,
        r"prices_picocents\['a'\] must",
    ),
    ("put_rate_cards", ([RateCard("chat", effective_time=date(2026, 1, 1))],), {}, TypeError, "effective_time must be"),
    ("list_balances", (), {"page_size": 2**31}, ValueError, "page_size does not fit 32 bits"),
    ("list_rate_cards", (None,), {}, TypeError, "service must be a str"),
    (
        "update_funding",
        ("alice",),
        {"old_amount_microcents": 1, "new_amount_microcents": 2.0},
        TypeError,
        "new_amount_microcents must be an int",
    ),
]


@pytest.mark.parametrize("case", BAD)
def test_refused(client, daemon, case):
    """The error names the argument, and nothing was sent."""
    method, args, options, error, message = case
    with pytest.raises(error, match=message):
        next(getattr(client, method)(*args, **options))  # the answer is only iterated over for list_entries
    assert [] == daemon.requests


class Cents:
    """An integer type that is not int, as numpy's are."""

    def __index__(self):
        return 42


def test_any_integer_type_is_money(client, daemon):
    """What Python counts as an integer is accepted; negative and large amounts are the daemon's to judge."""
    client.record_cost("alice", Cents())
    client.record_cost("alice", -(2**63) + 1)
    client.record_cost("alice", 2**63 - 1)
    assert [42, -(2**63) + 1, 2**63 - 1] == [request.cost_microcents for request in daemon.requests]
