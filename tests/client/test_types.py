"""Values stay as they are, and go where values go."""

import copy
import dataclasses
import pickle
from datetime import UTC, datetime

import pytest

import meterd
from meterd._labels import Labels
from meterd.v1 import account_pb2, metering_pb2

ENTRY = meterd.Entry(
    user_id="alice",
    version=1,
    kind=meterd.EntryKind.FUNDING,
    amount_microcents=5,
    balance_microcents=5,
    request_id="r-1",
    service="",
    labels=Labels({"k": "v"}),
    occur_time=None,
    record_time=datetime(2026, 1, 1, tzinfo=UTC),
)


def test_an_entry_cannot_be_changed():
    """Neither a field nor a label can be set."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        ENTRY.version = 2
    with pytest.raises(TypeError):
        ENTRY.labels["k"] = "w"


def test_what_a_client_returns_is_a_value(client, daemon):
    """What was answered is the same value before and after it is looked at: equal, hashed, copied and printed as one made here."""
    entry = account_pb2.Entry(
        user_id="alice",
        version=1,
        kind=account_pb2.ENTRY_KIND_FUNDING,
        amount_microcents=5,
        balance_microcents=5,
        request_id="r-1",
        labels={"k": "v"},
        record_time={"seconds": 1_767_225_600},
    )
    balance = account_pb2.Balance(user_id="alice", balance_microcents=5, version=1)
    daemon.script.extend([metering_pb2.RecordFundingResponse(entry=entry, balance=balance, replayed=True)] * 8)

    def fresh():
        return client.record_funding("alice", 5)

    made = meterd.Recorded(entry=ENTRY, balance=fresh().balance, replayed=True)
    assert made == fresh()
    assert hash(made) == hash(fresh())
    assert repr(made) == repr(fresh())
    assert made == pickle.loads(pickle.dumps(fresh()))
    assert made == copy.copy(fresh())
    assert dataclasses.asdict(made) == dataclasses.asdict(fresh())
    assert dataclasses.replace(made, replayed=False) == dataclasses.replace(fresh(), replayed=False)


def test_what_a_client_returns_cannot_be_changed(client):
    """A field can neither be set nor made up, whether it was looked at or not."""
    result = client.check("alice")
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.balance = None
    with pytest.raises(AttributeError, match="'CheckResult' object has no attribute 'allow'"):
        result.allow  # noqa: B018
    assert result.balance is result.balance


def test_labels_are_a_mapping():
    """Labels equal the dict that they were made of, print like it, and do not follow its changes."""
    source = {"k": "v"}
    labels = Labels(source)
    source["k"] = "w"
    assert ({"k": "v"}, "{'k': 'v'}", 1) == (labels, repr(labels), len(labels))


def test_an_entry_can_be_hashed_copied_and_pickled():
    """An entry is a value: equal copies, equal hashes, through pickle and asdict too."""
    assert {ENTRY} == {copy.deepcopy(ENTRY), pickle.loads(pickle.dumps(ENTRY))}
    assert {"k": "v"} == dataclasses.asdict(ENTRY)["labels"]


def test_a_kind_is_its_name():
    """A kind compares and prints as plain text, for logs and JSON."""
    for enum in (meterd.EntryKind, meterd.ReservationState, meterd.OnExpiry):
        assert [kind.name for kind in enum] == [*map(str, enum)]
