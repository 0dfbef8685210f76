"""Bytes that are no message, and messages that were damaged: a status for each, and the server lives on."""

import random

import grpc
import pytest

from meterd.v1 import admin_pb2, ledger_pb2, metering_pb2, reservation_pb2

SEEDS = 300
EXPECTED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.FAILED_PRECONDITION,  # what is reserved is not there
    grpc.StatusCode.NOT_FOUND,  # nor are a reservation and an entry of a damaged name
    grpc.StatusCode.ALREADY_EXISTS,
}
LEAKS = ("Traceback", "Error parsing", "Exception", "DecodeError", "google.protobuf", ".py")

WHOLE = {
    "Check": metering_pb2.CheckRequest(user_id="ada", minimum_microcents=5),
    "RecordCost": metering_pb2.RecordCostRequest(
        user_id="ada",
        cost_microcents=5,
        service="chat",
        labels={"key": "value"},
        overdraft_policy=metering_pb2.OVERDRAFT_POLICY_ALLOW,
        occur_time={"seconds": 1_700_000_000, "nanos": 1_000},
    ),
    "RecordFunding": metering_pb2.RecordFundingRequest(
        user_id="ada",
        amount_microcents=5,
        labels={"key": "value"},
        expire_time={"seconds": 1_900_000_000},
        priority=-3,
        label="promotion",
    ),
    "Reserve": reservation_pb2.ReserveRequest(
        user_id="ada", amount_microcents=5, ttl={"seconds": 60}, on_expiry="ON_EXPIRY_CAPTURE_FLOOR", floor_microcents=2
    ),
    "Capture": reservation_pb2.CaptureRequest(user_id="ada", reservation_id="r", cost_microcents=5, final=False),
    "Release": reservation_pb2.ReleaseRequest(user_id="ada", reservation_id="r"),
    "Extend": reservation_pb2.ExtendRequest(user_id="ada", reservation_id="r", ttl={"seconds": 60}, add_microcents=1),
    "SetAccountPolicy": admin_pb2.SetAccountPolicyRequest(user_id="ada", credit_limit_microcents=5, unlimited=True),
    "ReverseEntry": admin_pb2.ReverseEntryRequest(user_id="ada", version=1, amount_microcents=1),
    "GetBalance": ledger_pb2.GetBalanceRequest(user_id="ada"),
    "ListEntries": ledger_pb2.ListEntriesRequest(user_id="ada", page_size=3, order_by="version"),
}


def _noise(rng, _method):
    return rng.randbytes(rng.randrange(1, 200))


def _damaged(rng, method):
    """Change, drop or repeat bytes of a message that was right."""
    raw = bytearray(WHOLE[method].SerializeToString())
    for _ in range(rng.randrange(1, 6)):
        place = rng.randrange(len(raw) or 1)
        raw[place : place + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
    return bytes(raw)


def _nested(rng, _method):
    """Length-delimited fields inside each other, deeper than any parser follows."""
    raw = b"\xff"
    number = rng.choice((4, 6, 8, 15))
    while len(raw) < 5_000:
        length = len(raw)
        prefix = bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
        raw = bytes([number << 3 | 2]) + prefix + raw
    return raw


@pytest.mark.parametrize("method", WHOLE)
@pytest.mark.parametrize("make", [_noise, _damaged, _nested], ids=lambda make: make.__name__.strip("_"))
async def test_random_bytes(house, method, make):
    """Whatever the bytes, the answer is a documented status without a word of the parser's, and the next call works."""
    seen = set()
    for seed in range(SEEDS):
        call = house.send(method, make(random.Random(seed), method))
        code, details = await call.code(), await call.details() or ""
        assert code in EXPECTED, (seed, code, details)
        assert not any(leak in details for leak in LEAKS), (seed, details)
        seen.add(code)
    assert grpc.StatusCode.INVALID_ARGUMENT in seen
    assert 1 == (await house.fund("witness")).entry.version


@pytest.mark.parametrize("method", WHOLE)
async def test_an_empty_message(unchanged, method):
    """No bytes at all are a message without a user."""
    call = unchanged.send(method, b"")
    assert grpc.StatusCode.INVALID_ARGUMENT == await call.code()
    assert "user_id" in await call.details()
