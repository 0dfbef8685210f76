"""Rows made of columns are those that are made of entries."""

import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meterd_server.model import Account
from meterd_server.store.sqlite.rows import cost_rows, entry_row, pack_request_id, pack_request_ids, unpack_request_id
from rules.commands import decided, distinct, in_columns, plain_costs, plain_usages

NOW = 1_700_000_000_000_000
UUIDS = st.uuids().map(str)
SPOILED = st.builds(
    lambda text, place, character: text[:place] + character + text[place + 1 :],
    UUIDS,
    st.integers(0, 35),
    st.sampled_from(["-", " ", "A", "g", "é", "0", ""]),
)
DISTINCT = (plain_costs(request_ids=10**6) | plain_usages(request_ids=10**6)).map(distinct)
REQUEST_IDS = UUIDS | SPOILED | UUIDS.map(str.upper) | st.just("-" * 36) | st.text(max_size=40)


@given(st.lists(REQUEST_IDS) | st.lists(UUIDS))
@example([str(uuid.UUID(int=1)), "0000000-00000-0000-0000-000000000001"])
@example(["00000000-0000-0000-0000-0000000000 0", "00000000-0000-0000-0000-00000000 000"])
def test_request_ids(request_ids):
    """Whatever the ids are, they are packed all at once as each is alone, and come back."""
    packed = pack_request_ids(request_ids)
    alone = [*map(pack_request_id, request_ids)]
    assert [*map(type, alone)] == [*map(type, packed)]
    assert alone == [*packed]
    assert request_ids == [unpack_request_id(each if isinstance(each, str) else bytes(each)) for each in packed]


@given(DISTINCT)
def test_costs(costs):
    """The rows of costs are those of their entries."""
    recorded, _ = decided({user_id: Account(user_id) for user_id in ("alice", "bob")}, in_columns(costs), NOW)
    places = range(len(costs))
    expected = [entry_row(7 + place, place, 5 * place, recorded[place].entry) for place in places]
    columns, rows = cost_rows(7, places, [5 * place for place in places], recorded)
    assert expected == [*rows]
    assert {columns.count(",") + 1} >= {*map(len, expected)}


def test_costs_of_many_calls():
    """Ids of clients, all alike, take half of the room."""
    assert {bytearray} == {*map(type, pack_request_ids([str(uuid.uuid4()) for _ in range(1000)]))}


@pytest.mark.parametrize("request_id", ["", "r1"])
def test_a_short_id(request_id):
    """What is no UUID is kept as it is."""
    assert [request_id] == pack_request_ids([request_id])
