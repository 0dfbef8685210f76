"""Usage in, money out, over the wire: what is charged, what is kept, and what is refused."""

import grpc
import pytest

from meterd.v1 import account_pb2, metering_pb2

from .house import refused
from .operations import brief
from .prices import MICROCENT, card, moment, usage

Code = grpc.StatusCode


@pytest.fixture
async def house(house):
    """Open a server with a card for chat, and ada with some money."""
    await house.put(card(), card("bytes", prices={"bytes": 300_000}))
    await house.fund("ada", 1_000_000)
    return house


async def test_usage_is_charged_by_the_card(house):
    """The entry holds the charge, what was used, and by which card; the service is that of the usage."""
    used = usage(input_tokens=1_000, output_tokens=500)
    recorded = await house.use("ada", used)
    assert -500_000 == recorded.entry.amount_microcents
    assert (used, "chat") == (recorded.entry.usage, recorded.entry.service)
    assert account_pb2.RateCardKey(service="chat", version=1) == recorded.entry.rate_card
    assert 500_000 == recorded.balance.balance_microcents
    assert [recorded.entry] == list((await house.list(page_size=1)).entries)


async def test_less_than_a_microcent_is_carried(house):
    """Ten bytes at 0.3 microcents a byte, one by one, cost exactly three microcents, and the balance says what is left over."""
    answers = [await house.use("ada", usage("bytes", bytes=1)) for _ in range(10)]
    assert [0, 0, 0, 1, 0, 0, 1, 0, 0, 1] == [-answer.entry.amount_microcents for answer in answers]
    assert [300_000, 600_000, 900_000, 200_000] == [answer.balance.residue_picocents for answer in answers[:4]]
    assert 999_997 == answers[-1].balance.balance_microcents


async def test_a_plain_cost_and_funding_leave_the_residue(house):
    """What is carried over is not lost when something else is recorded in between."""
    await house.use("ada", usage("bytes", bytes=3))
    await house.cost("ada", 5)
    funded = await house.fund("ada", 5)
    assert 900_000 == funded.balance.residue_picocents
    assert -1 == (await house.use("ada", usage("bytes", bytes=1))).entry.amount_microcents


async def test_the_price_is_that_of_the_time_of_use(house):
    """Usage that says when it happened is charged by the card of then, whenever it is recorded."""
    await house.put(card(prices={"input_tokens": 7 * MICROCENT}, effective=2025))
    before = await house.use("ada", usage(input_tokens=1), occur_time=moment(2024))
    after = await house.use("ada", usage(input_tokens=1), occur_time=moment(2026))
    now = await house.use("ada", usage(input_tokens=1))
    assert [(-200, 1), (-7, 2), (-7, 2)] == [
        (answer.entry.amount_microcents, answer.entry.rate_card.version) for answer in (before, after, now)
    ]


async def test_a_retry_after_a_price_change_is_a_replay(house):
    """What is compared is the request, never the price it got: the first charge stands."""
    first = await house.use("ada", usage(input_tokens=1), request_id="r1")
    await house.put(card(prices={"input_tokens": 9 * MICROCENT}, effective=2025))
    again = await house.use("ada", usage(input_tokens=1), request_id="r1")
    assert (True, first.entry) == (again.replayed, again.entry)
    other = await refused(house.use("ada", usage(input_tokens=2), request_id="r1"))
    assert "REQUEST_ID_REUSED" == other.reason


async def test_strict_usage_is_refused_beyond_what_is_there(house):
    """OVERDRAFT_POLICY_REJECT decides on the price of the usage."""
    strict = {"overdraft_policy": metering_pb2.OVERDRAFT_POLICY_REJECT}
    refusal = await refused(house.use("ada", usage(input_tokens=5_001), **strict))
    assert ("INSUFFICIENT_FUNDS", "200") == (refusal.reason, refusal.metadata["shortfall_microcents"])
    assert 0 == (await house.use("ada", usage(input_tokens=5_000), **strict)).balance.balance_microcents


async def test_a_check_of_usage(house):
    """A Check asks for what the usage would cost now, inclusively, with what the user carries over."""
    allowed = await house.check("ada", usage=usage(input_tokens=5_000))
    denied = await house.check("ada", usage=usage(input_tokens=5_001))
    assert [(True, 0), (False, 200)] == [(each.allowed, each.shortfall_microcents) for each in (allowed, denied)]
    both = await refused(house.check("ada", 5, usage=usage(input_tokens=1)))
    assert (Code.INVALID_ARGUMENT, ["usage"]) == (both.code, both.fields)


async def test_usage_in_a_batch(house):
    """Costs and usage go together, and what has no price spoils nothing else."""
    operations = [
        metering_pb2.Operation(record_cost=metering_pb2.RecordCostRequest(user_id="ada", usage=used))
        for used in (usage(input_tokens=1), usage("fax", pages=1), usage("bytes", bytes=4))
    ]
    asked = metering_pb2.Operation(check=metering_pb2.CheckRequest(user_id="ada", usage=usage(input_tokens=5_000)))
    answer = await house.batch(*operations, asked)
    assert [999_800, "UNKNOWN_RATE", 999_799, False] == [brief(result) for result in answer.results]


@pytest.mark.parametrize(
    ("used", "metadata"),
    [
        (usage("fax", pages=1), {"service": "fax", "model": "", "meter": ""}),
        (usage("chat", "large", pages=1), {"service": "chat", "model": "large", "meter": "pages"}),
    ],
)
async def test_usage_without_a_price(house, used, metadata):
    """An unknown service or meter is UNKNOWN_RATE, naming it, and nothing is charged."""
    before = await house.balance()
    refusal = await refused(house.use("ada", used))
    assert (Code.NOT_FOUND, "UNKNOWN_RATE", metadata) == (refusal.code, refusal.reason, refusal.metadata)
    assert before == await house.balance()


async def test_usage_before_the_first_card(house):
    """A time at which no card was valid has no price."""
    await house.put(card("new", effective=2026))
    refusal = await refused(house.use("ada", usage("new", input_tokens=1), occur_time=moment(2025)))
    assert ("UNKNOWN_RATE", "") == (refusal.reason, refusal.metadata["meter"])


@pytest.mark.parametrize(
    ("used", "field"),
    [
        (usage("", input_tokens=1), "usage.service"),
        (usage("c" * 65, input_tokens=1), "usage.service"),
        (usage("chat", "m" * 257, input_tokens=1), "usage.model"),
        (usage("chat", "\n", input_tokens=1), "usage.model"),
        (usage("chat"), "usage.quantities"),
        (usage("chat", input_tokens=-1), "usage.quantities[input_tokens]"),
        (usage("chat", **{"Input tokens": 1}), "usage.quantities"),
        (usage("chat", **{f"meter_{number}": 1 for number in range(65)}), "usage.quantities"),
    ],
)
async def test_bad_usage_names_its_field(house, used, field):
    """What is wrong with a usage is said of the field, or of the meter."""
    refusal = await refused(house.use("ada", used))
    assert (Code.INVALID_ARGUMENT, [field]) == (refusal.code, refusal.fields)


async def test_an_absurd_quantity(house):
    """A usage that costs more than one operation may move is out of range, and nothing is charged."""
    before = await house.balance()
    refusal = await refused(house.use("ada", usage(input_tokens=2**63 - 1)))
    assert ("AMOUNT_OUT_OF_RANGE", "usage") == (refusal.reason, refusal.metadata["field"])
    assert before == await house.balance()
    largest = await house.use("ada", usage(input_tokens=5 * 10**12))
    assert -(10**15) == largest.entry.amount_microcents


async def test_neither_cost_nor_usage(house):
    """A RecordCost says one or the other."""
    refusal = await refused(house.metering.RecordCost(metering_pb2.RecordCostRequest(user_id="ada")))
    assert (Code.INVALID_ARGUMENT, ["cost_microcents"]) == (refusal.code, refusal.fields)
