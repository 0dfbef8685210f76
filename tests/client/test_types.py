"""Values stay as they are, and go where values go."""

import copy
import dataclasses
import pickle
from datetime import UTC, datetime

import pytest

import meterd
from meterd._labels import Labels

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
    assert ("COST", "FUNDING", "UNKNOWN") == (*map(str, sorted(meterd.EntryKind)),)
