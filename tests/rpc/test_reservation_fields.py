"""Fields of reservations, grants, policies and reversals that cannot stand: each is named, and nothing is changed."""

import grpc
import pytest

from meterd.v1 import account_pb2, admin_pb2, metering_pb2, reservation_pb2

from .house import refused

Code = grpc.StatusCode
INT64_MAX = 2**63 - 1

REQUESTS = {
    "Reserve": (reservation_pb2.ReserveRequest, {"amount_microcents": 10}),
    "Capture": (reservation_pb2.CaptureRequest, {"reservation_id": "r", "cost_microcents": 10}),
    "Extend": (reservation_pb2.ExtendRequest, {"reservation_id": "r", "add_microcents": 10}),
    "RecordFunding": (metering_pb2.RecordFundingRequest, {"amount_microcents": 10}),
    "SetAccountPolicy": (admin_pb2.SetAccountPolicyRequest, {"frozen": True}),
    "ReverseEntry": (admin_pb2.ReverseEntryRequest, {"version": 1}),
}
LATER = {"seconds": 1_900_000_000}
BAD = [
    ("Reserve", {"amount_microcents": -1}, "amount_microcents"),
    ("Reserve", {"amount_microcents": None}, "amount_microcents"),
    ("Reserve", {"amount_microcents": None, "usage": {}}, "usage.service usage.quantities"),
    ("Reserve", {"on_expiry": 3}, "on_expiry"),
    ("Reserve", {"on_expiry": -1}, "on_expiry"),
    ("Reserve", {"floor_microcents": -1}, "floor_microcents"),
    ("Capture", {"cost_microcents": -1}, "cost_microcents"),
    ("Capture", {"cost_microcents": None}, "cost_microcents"),
    ("Capture", {"occur_time": {"nanos": -1}}, "occur_time"),
    ("Extend", {"add_microcents": -1}, "add_microcents"),
    ("Extend", {"add_microcents": 0}, "add_microcents"),
    ("RecordFunding", {"expire_time": {"seconds": 2**60}}, "expire_time"),
    ("RecordFunding", {"expire_time": LATER, "priority": 1001}, "priority"),
    ("RecordFunding", {"expire_time": LATER, "priority": -1001}, "priority"),
    ("RecordFunding", {"priority": 1}, "priority"),
    ("RecordFunding", {"label": "l" * 65}, "label"),
    ("RecordFunding", {"label": "a\x00"}, "label"),
    ("RecordFunding", {"amount_microcents": None, "update": {}, "expire_time": LATER}, "expire_time"),
    ("SetAccountPolicy", {"frozen": None}, "credit_limit_microcents"),
    ("SetAccountPolicy", {"credit_limit_microcents": -1}, "credit_limit_microcents"),
    ("ReverseEntry", {"version": 0}, "version"),
    ("ReverseEntry", {"version": -1}, "version"),
    ("ReverseEntry", {"amount_microcents": 0}, "amount_microcents"),
    ("ReverseEntry", {"amount_microcents": -1}, "amount_microcents"),
]
TOO_MUCH = [
    ("Reserve", "amount_microcents", 10**15),
    ("Capture", "cost_microcents", 10**15),
    ("Extend", "add_microcents", 10**15),
    ("SetAccountPolicy", "credit_limit_microcents", 2 * 10**17),
    ("ReverseEntry", "amount_microcents", 10**15),
]
BAD_TTLS = [
    {},
    {"nanos": 999_999_999},
    {"seconds": 86_400, "nanos": 1},
    {"seconds": -1},
    {"seconds": INT64_MAX},
    {"seconds": -INT64_MAX - 1},
    {"seconds": 5, "nanos": -1},
    {"seconds": 5, "nanos": 10**9},
]


def _send(house, method, **fields):
    make, whole = REQUESTS[method]
    return house.send(method, make(user_id="ada", **whole | fields))


@pytest.mark.parametrize(("method", "fields", "named"), BAD, ids=lambda each: str(each)[:40])
async def test_bad_fields(unchanged, method, fields, named):
    """Each bad field is named."""
    refusal = await refused(_send(unchanged, method, **fields))
    assert (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", named.split()) == (refusal.code, refusal.reason, refusal.fields)


async def test_every_bad_field_is_named(unchanged):
    """A request with many bad fields names them all at once, a ttl among them."""
    request = reservation_pb2.ReserveRequest(
        request_id="a b", ttl={"seconds": 0}, on_expiry=9, floor_microcents=-1, service="\n", labels={"": ""}
    )
    refusal = await refused(unchanged.send("Reserve", request))
    expected = "user_id request_id on_expiry floor_microcents service labels amount_microcents ttl"
    assert ("INVALID_ARGUMENT", expected.split()) == (refusal.reason, refusal.fields)


@pytest.mark.parametrize(("method", "field", "limit"), TOO_MUCH)
async def test_too_much(unchanged, method, field, limit):
    """One more than the most is AMOUNT_OUT_OF_RANGE with field and limit."""
    for amount in (limit + 1, INT64_MAX):
        refusal = await refused(_send(unchanged, method, **{field: amount}))
        assert (Code.OUT_OF_RANGE, "AMOUNT_OUT_OF_RANGE") == (refusal.code, refusal.reason)
        assert {"field": field, "limit": str(limit)} == refusal.metadata


@pytest.mark.parametrize("method", ["Reserve", "Extend"])
@pytest.mark.parametrize("ttl", BAD_TTLS, ids=str)
async def test_bad_ttls(unchanged, method, ttl):
    """A ttl outside 1 s to 24 h is its own reason, with the limits and the field."""
    refusal = await refused(_send(unchanged, method, ttl=ttl))
    assert (Code.INVALID_ARGUMENT, "TTL_OUT_OF_RANGE", ["ttl"]) == (refusal.code, refusal.reason, refusal.fields)
    assert {"field": "ttl", "minimum_seconds": "1", "maximum_seconds": "86400"} == refusal.metadata


@pytest.mark.parametrize("ttl", [{"seconds": 1}, {"seconds": 86_400}, {"seconds": 1, "nanos": 1}], ids=str)
async def test_good_ttls(house, ttl):
    """The shortest and the longest ttl are kept, to the microsecond."""
    held = await house.reserve(amount_microcents=0, ttl=ttl)
    assert house.now_us + ttl["seconds"] * 10**6 == held.reservation.expire_time.ToMicroseconds()


async def test_the_most_of_everything(house):
    """What is just within the limits is carried out."""
    await house.set_policy(credit_limit_microcents=2 * 10**17)
    held = await house.reserve(amount_microcents=10**15, floor_microcents=10**15, request_id="r", on_expiry=2)
    assert account_pb2.ON_EXPIRY_CAPTURE_FLOOR == held.reservation.on_expiry
    assert 2 * 10**15 == (await house.extend("r", add_microcents=10**15)).reservation.held_microcents
    assert -(10**15) == (await house.capture("r", 10**15)).entry.amount_microcents
    assert 0 == (await house.reserve(amount_microcents=0)).reservation.held_microcents
