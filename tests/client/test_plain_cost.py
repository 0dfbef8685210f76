"""Costs that are written without a message are what the message would be."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meterd import _calls
from meterd._plain_cost import plain_cost
from meterd.v1 import metering_pb2

INT64_MAX = (1 << 63) - 1
TEXTS = st.text(st.characters(codec="ascii"), min_size=1, max_size=300) | st.text(max_size=5)


def _call(user_id, request_id, cost_microcents, service, **options):
    options = {"labels": None, "reject_overdraft": False, "occur_time": None} | options
    return _calls.record_cost(user_id, cost_microcents, service=service, request_id=request_id, **options)


def _operation(user_id, request_id, cost_microcents, service):
    operation = metering_pb2.Operation()
    request = operation.record_cost
    request.user_id, request.request_id, request.service = user_id, request_id, service
    request.cost_microcents = cost_microcents
    return operation


@given(TEXTS, TEXTS.filter(bool), st.integers(0, INT64_MAX) | st.integers(0, 300), TEXTS)
@example("u" * 127, "r", 0, "")
@example("u" * 128, "r" * 64, 127, "s" * 64)
@example("u" * 20_000, "r", 128, "s")
@example("u", "r", INT64_MAX, "\x00\x7f")
def test_the_bytes_are_the_messages(user_id, request_id, cost_microcents, service):
    """Texts and costs of any length and size; where the bytes are not written by hand, the call has the message."""
    expected = _operation(user_id, request_id, cost_microcents, service)
    written = plain_cost(user_id, request_id, cost_microcents, service)
    is_plain = all(text.isascii() for text in (user_id, request_id, service)) and bool(user_id)
    assert (expected.SerializeToString() if is_plain else None) == written
    assert expected.record_cost == _call(user_id, request_id, cost_microcents, service).message()


@pytest.mark.parametrize("cost_microcents", [-1, -(1 << 63)])
def test_less_than_nothing(cost_microcents):
    """What is no cost goes as a message, for the daemon to refuse."""
    assert plain_cost("ada", "r", cost_microcents, "") is None
    assert cost_microcents == _call("ada", "r", cost_microcents, "").message().cost_microcents


@pytest.mark.parametrize("options", [{"labels": {"k": "v"}}, {"reject_overdraft": True}])
def test_more_than_the_common_form(options):
    """A cost with anything else has its message."""
    assert _call("ada", "r", 5, "", **options).message() != _operation("ada", "r", 5, "").record_cost
