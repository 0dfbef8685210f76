"""Text in requests: what is too long, not printable or not UTF-8 is refused by name and changes nothing."""

import grpc
import pytest

from meterd.v1 import admin_pb2, ledger_pb2, metering_pb2, reservation_pb2

from .house import refused

METHODS = {
    "Check": metering_pb2.CheckRequest,
    "RecordCost": metering_pb2.RecordCostRequest,
    "RecordFunding": metering_pb2.RecordFundingRequest,
    "GetBalance": ledger_pb2.GetBalanceRequest,
    "ListEntries": ledger_pb2.ListEntriesRequest,
    "Reserve": reservation_pb2.ReserveRequest,
    "Capture": reservation_pb2.CaptureRequest,
    "Release": reservation_pb2.ReleaseRequest,
    "Extend": reservation_pb2.ExtendRequest,
    "SetAccountPolicy": admin_pb2.SetAccountPolicyRequest,
    "ReverseEntry": admin_pb2.ReverseEntryRequest,
}
AMOUNTS = {
    "RecordCost": {"cost_microcents": 1},
    "RecordFunding": {"amount_microcents": 1},
    "Reserve": {"amount_microcents": 1},
    "Capture": {"reservation_id": "r", "cost_microcents": 1},
    "Release": {"reservation_id": "r"},
    "Extend": {"reservation_id": "r", "add_microcents": 1},
    "SetAccountPolicy": {"frozen": True},
    "ReverseEntry": {"version": 1},
}
CHANGES = [*AMOUNTS]
LABELLED = ["RecordCost", "RecordFunding", "Reserve", "Capture", "ReverseEntry"]
NAMED = ["RecordCost", "Reserve"]
"""Those that take a service."""

LONGEST_USER_IDS = ["u" * 128, "é" * 64, "€" * 42 + "uu", "😀" * 32]
BAD_USER_IDS = [
    *("", "u" * 129, "é" * 64 + "u", "€" * 43, "😀" * 32 + "u", "u" * 10_000),
    *("a\x00b", "\x01", "a\tb", "a\nb", "\x1f", "a\x7f", "\x80", "a\x85b", "\x9f"),
]
BAD_REQUEST_IDS = ["r" * 65, "a b", " ", "é", "a\x7f", "a\x1f", "\x00", "😀", "a\n"]


async def _refused_field(house, method, field, value, **more):
    """Send a request that is right but for one field, and return the fields that the refusal names."""
    request = METHODS[method](**{"user_id": "ada", **AMOUNTS.get(method, {}), **more, field: value})
    refusal = await refused(house.send(method, request))
    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT") == (refusal.code, refusal.reason)
    return refusal.fields


@pytest.mark.parametrize("method", METHODS)
async def test_bad_user_ids(unchanged, method):
    """Empty, longer than 128 bytes of UTF-8, or with a control character (C0, DEL, C1): refused by every rpc."""
    for user_id in BAD_USER_IDS:
        assert ["user_id"] == await _refused_field(unchanged, method, "user_id", user_id)


@pytest.mark.parametrize("user_id", [*LONGEST_USER_IDS, " ", "\xa0", "a/b", "ZÜRICH", "\u202e", "%s'--"])
async def test_good_user_ids(house, user_id):
    """Up to 128 bytes of any other UTF-8 is a user, told apart byte by byte and answered as sent."""
    assert user_id == (await house.fund(user_id)).entry.user_id
    assert user_id == (await house.cost(user_id)).entry.user_id
    assert [user_id] * 2 == [entry.user_id for entry in (await house.list(user_id)).entries]
    assert (user_id, 990) == ((balance := await house.balance(user_id)).user_id, balance.available_microcents)


async def test_user_ids_are_not_folded(house):
    """Users whose ids only look alike are different users."""
    for user_id in ("Ada", "ada", "ada ", "\u00e9", "e\u0301"):
        assert 1 == (await house.fund(user_id)).entry.version


@pytest.mark.parametrize("method", CHANGES)
async def test_bad_request_ids(unchanged, method):
    """Longer than 64, or with anything but printable ASCII: refused."""
    for request_id in BAD_REQUEST_IDS:
        assert ["request_id"] == await _refused_field(unchanged, method, "request_id", request_id)


@pytest.mark.parametrize("request_id", ["r" * 64, "!", "~", "a'--", '"%s"'])
async def test_good_request_ids(house, request_id):
    """Up to 64 printable ASCII characters come back as sent."""
    assert request_id == (await house.fund(request_id=request_id)).entry.request_id
    assert request_id == (await house.cost("bob", request_id=request_id)).entry.request_id


async def test_an_empty_request_id_is_made(house):
    """Without a request id the server makes one, a new one each time, and charges each time."""
    answers = [await house.cost(request_id="") for _ in range(3)]
    assert 3 == len({answer.entry.request_id for answer in answers} - {""})
    assert [1, 2, 3] == [answer.entry.version for answer in answers]


@pytest.mark.parametrize("method", ["Capture", "Release", "Extend"])
async def test_bad_reservation_ids(unchanged, method):
    """What no request id can be names no reservation, and neither does nothing."""
    for reservation_id in ["", *BAD_REQUEST_IDS]:
        assert ["reservation_id"] == await _refused_field(unchanged, method, "reservation_id", reservation_id)


@pytest.mark.parametrize("method", NAMED)
@pytest.mark.parametrize("service", ["s" * 65, "é" * 33, "a\x00", "\x85"])
async def test_bad_services(unchanged, service, method):
    """A service longer than 64 bytes or with a control character is refused."""
    assert ["service"] == await _refused_field(unchanged, method, "service", service)


@pytest.mark.parametrize("service", ["", "s" * 64, "é" * 32, "text to speech"])
async def test_good_services(house, service):
    """Up to 64 bytes come back as sent."""
    assert service == (await house.cost(service=service)).entry.service


BAD_LABELS = {
    "too many": {f"k{number}": "" for number in range(17)},
    "empty key": {"": "v"},
    "long key": {"k" * 65: "v"},
    "long key in bytes": {"é" * 33: "v"},
    "control character in a key": {"a\nb": "v"},
    "long value": {"k": "v" * 257},
    "long value in bytes": {"k": "é" * 129},
    "control character in a value": {"k": "\x9f"},
}


@pytest.mark.parametrize("labels", BAD_LABELS.values(), ids=BAD_LABELS)
@pytest.mark.parametrize("method", LABELLED)
async def test_bad_labels(unchanged, method, labels):
    """More than 16 labels, or one that is too long, empty or not text: refused."""
    assert ["labels"] == await _refused_field(unchanged, method, "labels", labels)


@pytest.mark.parametrize(
    "labels",
    [{}, {f"k{number}": "" for number in range(16)}, {"k" * 64: "v" * 256, "é" * 32: "é" * 128}],
    ids=["none", "as many as may be", "as long as may be"],
)
async def test_good_labels(house, labels):
    """Labels within the limits come back unchanged, and again from the ledger."""
    assert labels == dict((await house.cost(labels=labels)).entry.labels)
    assert labels == dict((await house.fund(labels=labels)).entry.labels)
    assert [labels] * 2 == [dict(entry.labels) for entry in (await house.list()).entries]


def _string(number, raw):
    """Encode a length-delimited field by hand: what a library that does not check UTF-8 would send."""
    assert len(raw) < 128
    return bytes([number << 3 | 2, len(raw)]) + raw


NOT_UTF8 = {
    "user_id": ("RecordCost", _string(1, b"a\xff")),
    "user_id cut off": ("GetBalance", _string(1, "é".encode()[:1])),
    "user_id surrogate": ("Check", _string(1, b"\xed\xa0\x80")),
    "user_id overlong": ("ListEntries", _string(1, b"\xc0\x80")),
    "request_id": ("RecordFunding", _string(1, b"ada") + _string(2, b"\xfe")),
    "service": ("RecordCost", _string(1, b"ada") + _string(5, b"\x80")),
    "labels.key": ("RecordCost", _string(1, b"ada") + _string(6, _string(1, b"\xff") + _string(2, b"v"))),
    "labels.value": ("RecordFunding", _string(1, b"ada") + _string(6, _string(1, b"k") + _string(2, b"\xff"))),
    "page_token": ("ListEntries", _string(1, b"ada") + _string(3, b"\xff")),
    "order_by": ("ListEntries", _string(1, b"ada") + _string(4, b"\xff")),
}


@pytest.mark.parametrize("name", NOT_UTF8)
async def test_text_that_is_not_utf8(unchanged, name):
    """Bytes that are no UTF-8 are the caller's mistake, and the field that holds them is named."""
    method, raw = NOT_UTF8[name]
    refusal = await refused(unchanged.send(method, raw))
    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT") == (refusal.code, refusal.reason)
    assert [name.partition(" ")[0]] == refusal.fields
