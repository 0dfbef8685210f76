"""Costs read from their bytes, and answered in bytes: what a message would say, or nothing at all."""

import string
from itertools import chain

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from meterd._varints import varint
from meterd.v1 import account_pb2, metering_pb2
from meterd_server.model import Account
from meterd_server.pricing import RateBook, RateCard, Tier
from meterd_server.rpc import encode, validate
from meterd_server.rpc.decode import operations_decoder
from meterd_server.rpc.plain_answers import is_plain, recorded_all, recorded_each
from meterd_server.rpc.plain_costs import METERS_MAX, CostReader
from meterd_server.rpc.status import RequestError
from meterd_server.rpc.varints import number_of, varints
from meterd_server.rules import decide_batch
from rules.commands import decided

METERS = [*(f"meter_{number}" for number in range(METERS_MAX)), "reasoning_tokens", "m" * 64]
PRICES = {meter: 1_234_567 * number for number, meter in enumerate(METERS)}
MOST = 2**63 - 1


class Prices:
    """The prices at one moment."""

    def __init__(self):
        free = dict.fromkeys(METERS, 0)
        tier = Tier(5, ("m",), {"m": 1})
        self.book = RateBook(
            [
                RateCard("chat", "", PRICES),
                RateCard("chat", "large-*", PRICES, per_call_picocents=77, minimum_picocents=5_000_000),
                RateCard("free", "", free),
                RateCard('100% "%d"', "", free),
                RateCard("tiers", "", {"m": 9}, tiers=(tier,)),
            ]
        )

    def clock_us(self):
        """Return the moment."""
        return 1_700_000_000_000_000


SOURCES = validate.Sources(lambda: "made", Prices())


def cost(**fields):
    """Return the bytes of the operation of a cost."""
    request = metering_pb2.RecordCostRequest(**{"user_id": "ada", "request_id": "r1", **fields})
    return metering_pb2.Operation(record_cost=request).SerializeToString()


def usage(service="chat", model="", **quantities):
    """Return the bytes of the operation of a usage."""
    return cost(usage=account_pb2.Usage(service=service, model=model, quantities=quantities))


def plain(raw):
    """Return what is read of an operation's bytes."""
    (read,) = CostReader(SOURCES.prices).read_each([raw])
    return read


def command_of(raw):
    """Return the command that the message of these bytes asks for; None if it is not one, or asks for no cost."""
    try:
        operation = metering_pb2.Operation.FromString(raw)
        return validate.record_cost(operation.record_cost, SOURCES) if operation.HasField("record_cost") else None
    except (DecodeError, RequestError):
        return None


def results(account, plain_cost):
    """Return the answer to a cost twice: as bytes, and as the message that `encode` makes."""
    (outcome,) = decide_batch({account.user_id: account}, {}, [plain_cost.command], 1_700_000_000_123_456).outcomes
    assert is_plain(outcome)
    answer = metering_pb2.BatchResponse()
    encode.fill_recorded(answer.results.add().record_cost, outcome)
    (text,) = recorded_each([(plain_cost, outcome)])
    return text.encode("latin-1"), answer


COMMON = [
    cost(cost_microcents=1),
    cost(cost_microcents=10**15),
    cost(cost_microcents=5_000, service="chat"),
    cost(user_id="u" * 32, request_id="r" * 64, cost_microcents=1, service="s" * 16),
    cost(user_id="u" * 64, request_id="\x22*", cost_microcents=1, service="s" * 64),
    usage(meter_1=0),
    usage(meter_1=5, meter_2=300),
    usage(meter_1=4, reasoning_tokens=3, meter_2=2),
    usage(meter_1=MOST // 10**10),
    usage(model="large-x", meter_1=5, reasoning_tokens=300),
    usage(**dict.fromkeys(METERS[:METERS_MAX], 20_000)),
    usage("free", **{"m" * 64: 2**40}),
    usage(model="large-" + "x" * 58, meter_1=5),
    usage('100% "%d"', meter_1=5),
]
COSTS_ALIKE = COMMON[:5]
UNCOMMON = [
    b"",
    metering_pb2.Operation(check=metering_pb2.CheckRequest(user_id="ada")).SerializeToString(),
    cost(cost_microcents=1, user_id="ä"),
    cost(cost_microcents=1, user_id="u" * 65),
    cost(cost_microcents=1, service="s" * 65),
    cost(cost_microcents=1, request_id=""),
    cost(cost_microcents=0),
    cost(cost_microcents=-1),
    cost(cost_microcents=10**15 + 1),
    cost(cost_microcents=1, labels={"a": "b"}),
    cost(cost_microcents=1, overdraft_policy=2),
    cost(cost_microcents=1, occur_time={}),
    usage(unpriced=1),
    usage("none", meter_1=1),
    usage(meter_1=-1),
    usage(meter_5=MOST),
    usage("tiers", m=6),
    usage(),
]
NAMES = st.text(string.ascii_letters + string.digits + ' "*:#', min_size=1, max_size=66)
NUMBERS = st.sampled_from([0, 1, 127, 128, 16_383, 16_384, 2**21, 2**62, MOST, -1]) | st.integers(0, MOST)
USAGES = st.builds(
    account_pb2.Usage,
    service=st.sampled_from(["chat", "free", "tiers", "none"]),
    model=st.sampled_from(["", "small", "large-2", "x" * 65]),
    quantities=st.dictionaries(
        st.sampled_from([*METERS, "m", "unpriced"]), NUMBERS | st.integers(0, 20_000), max_size=7
    ),
)
COSTS = st.fixed_dictionaries(
    {"user_id": NAMES | st.just("é"), "request_id": st.text(string.printable[:94], min_size=1, max_size=66)},
    optional={
        "service": NAMES,
        "overdraft_policy": st.sampled_from([0, 1, 2]),
        "labels": st.just({"a": "b"}),
        "occur_time": st.just({"seconds": 5}),
    },
).flatmap(
    lambda fields: st.one_of(
        st.builds(lambda each: {**fields, "cost_microcents": each}, NUMBERS | st.just(10**15)),
        st.builds(lambda each: {**fields, "usage": each}, USAGES),
        st.builds(lambda each: {**fields, "usage": each, "service": ""}, USAGES),
    )
)


def spoiled(raw):
    """Return the bytes with each one replaced by every other, and with every two moved apart: lengths that still add up."""
    for place in range(len(raw)):
        for byte in range(256):
            yield raw[:place] + bytes((byte,)) + raw[place + 1 :]
        for other in range(len(raw)):
            changed = bytearray(raw)
            changed[place] = (changed[place] + 1) % 256
            changed[other] = (changed[other] - 1) % 256
            yield bytes(changed)


@pytest.mark.parametrize("raw", COMMON, ids=range(len(COMMON)))
def test_spoiled_bytes(raw):
    """Whatever the bytes are: what is read at once is the command that the message asks for, and never anything else."""
    for each in spoiled(raw):
        if read := plain(each):
            assert command_of(each) == read.command, each


@given(COSTS)
def test_it_is_read_as_its_message_is(fields):
    """What is read at once is what the message would be read as, whatever it says."""
    raw = cost(**fields)
    if read := plain(raw):
        assert command_of(raw) == read.command


@given(
    COSTS,
    st.builds(
        Account,
        st.none(),
        st.integers(1, 20_000),
        st.integers(0, 10**10) | st.just(9 * 10**18),
        st.integers(0, 10**10),
        st.just(5),
        st.sampled_from([0, 999_999]),
        st.none(),
    ),
)
def test_it_is_answered_as_by_a_message(fields, account):
    """The bytes of the answer are those of its message; the meters are in the caller's order."""
    if read := plain(cost(**fields)):
        answer, message = results(account._replace(user_id=read.command.user_id), read)
        assert message == metering_pb2.BatchResponse.FromString(answer)
        assert len(message.SerializeToString()) == len(answer)
        if not read.usage:
            assert message.SerializeToString() == answer


def test_the_first_entry_of_nothing():
    """What is 0 is left out of an answer, as protobuf does: a usage that is free, of a user without any money."""
    answer, message = results(Account("ada"), plain(usage("free", meter_1=5)))
    assert message.SerializeToString() == answer


@pytest.mark.parametrize("raw", COMMON, ids=range(len(COMMON)))
def test_the_common_forms(raw):
    """Most costs are read at once."""
    read = plain(raw)
    assert read
    assert command_of(raw) == read.command


@pytest.mark.parametrize("raw", UNCOMMON, ids=range(len(UNCOMMON)))
def test_what_is_left_to_messages(raw):
    """Whatever is not common, or is to be refused, is not read at once."""
    assert plain(raw) is None


def test_one_after_the_other():
    """What was read before does not matter: the form, its numbers, or whether it was usage."""
    operations = [
        *(usage(meter_1=units, meter_2=units) for units in (5, 300, 70_000)),
        cost(cost_microcents=3),
        usage(meter_1=5),
        cost(cost_microcents=4, labels={"a": "b"}),
        usage(unpriced=5),
        usage("free", meter_1=5),
    ]
    commands = [read and read.command for read in CostReader(SOURCES.prices).read_each(operations * 2)]
    expected = [*map(command_of, operations)]
    expected[5] = None
    assert expected * 2 == commands


def in_message(operations, between=b""):
    """Return a message of operations, with something between each two."""
    return between.join(
        metering_pb2.BatchRequest(operations=[metering_pb2.Operation.FromString(each)]).SerializeToString()
        for each in operations
    )


@pytest.mark.parametrize(
    "many",
    [
        COSTS_ALIKE,
        [usage(meter_1=units) for units in (0, 5, 300, 70_000)],
        [usage(meter_1=5), usage("free", meter_1=5), usage(model="large-x", meter_1=9), usage(meter_1=70_000)],
        [usage(meter_1=5, meter_2=300)] * 300,
    ],
    ids=["costs", "usages", "prices", "300"],
)
def test_many_at_once(many):
    """Costs that are alike are read together, as each would be alone."""
    text = str(in_message(many), "latin-1")
    assert [*map(plain, many)] == CostReader(SOURCES.prices).read_all(text, len(many)).each()


@given(st.lists(COSTS.map(lambda fields: cost(**fields)) | st.sampled_from(UNCOMMON + COMMON), min_size=1, max_size=4))
def test_many_of_any_kind(operations):
    """What is read together is what each would be read as alone."""
    alone = [*map(plain, operations)]
    together = CostReader(SOURCES.prices).read_all(str(in_message(operations), "latin-1"), len(operations))
    assert together is None or alone == together.each()
    assert alone == CostReader(SOURCES.prices).read_each(operations)


@given(
    st.lists(st.sampled_from(COSTS_ALIKE), min_size=1)
    | st.lists(st.builds(usage, meter_1=NUMBERS, meter_2=st.integers(0, 20_000)), min_size=1)
)
def test_many_are_answered_at_once(many):
    """The answers to costs that were read together are those to each, one after the other."""
    many = [raw for number, raw in enumerate(many) if plain(raw) and raw not in many[:number]]
    text = str(in_message(many), "latin-1")
    if read := many and CostReader(SOURCES.prices).read_all(text, len(many)):
        accounts = {
            user_id: Account(user_id, 5, 1_000 * place, 300 * place, 7, 999_999 * place)
            for place, user_id in enumerate(dict.fromkeys(read.commands.user_ids))
        }
        if decision := decided(accounts, read.commands, 1_700_000_000_123_456):
            recorded, _ = decision
            alone = [recorded_each([pair]) for pair in zip(read.each(), recorded, strict=True)]
            assert [*chain.from_iterable(alone)] == recorded_all(recorded, read)


@pytest.mark.parametrize("common", [COMMON[1], usage(meter_1=0)], ids=["cost", "usage"])
@pytest.mark.parametrize("between", [b"\x00", b"\n", b"\x12\x02hi", in_message(UNCOMMON[:1])], ids=bytes.hex)
def test_something_between(common, between):
    """What is found before and after something else is not read together."""
    text = str(in_message([common] * 2, between), "latin-1")
    assert CostReader(SOURCES.prices).read_all(text, 2) is None


@given(st.lists(COSTS.map(lambda fields: cost(**fields)), max_size=5), st.integers(1, 3))
def test_a_message_is_divided(operations, size):
    """So many operations at a time come as they are in the message, if there is nothing else in it."""
    raw = in_message(operations)
    parts = [*operations_decoder(metering_pb2.BatchRequest)(raw).parts(size)]
    assert [*range(0, len(operations), size)] == [places.start for places, _ in parts]
    assert raw == b"".join(text.encode("latin-1") for _, text in parts)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\x12\x02hi", b""),
        (b"", b"\x10\x01"),
        (b"\x12" + bytes([len(COMMON[0]) + 2]) + b"\n" + bytes([len(COMMON[0])]) + COMMON[0], b""),
        (b"\n\x80\x00", b""),
        (b"\n\x81\x80\x01" + bytes(1 << 14), b""),
    ],
    ids=["a field", "a number", "an operation in a field", "a long zero", "a long operation"],
)
def test_a_message_with_something_else(before, after):
    """What else is in a message is nobody's operation: nothing of it is read by place then."""
    raw = before + in_message([COMMON[0]] * 2) + after
    operations = operations_decoder(metering_pb2.BatchRequest)(raw)
    assert {""} == {text for _, text in operations.parts(1)}


@given(st.integers(-(2**63), MOST))
@example(-(2**28))
@example(-(2**28) - 1)
@example(-1)
@example(2**28)
@example(2**42 - 1)
@example(2**42)
def test_numbers(number):
    """A number's text is its bytes in a message, and the number can be read from it."""
    written = metering_pb2.RecordCostRequest(cost_microcents=number).SerializeToString()
    assert b"\x18" + varint(number).encode("latin-1") == written
    if number >= 0:
        assert number == number_of(varint(number))
    assert [varint(number)] == varints([number])
