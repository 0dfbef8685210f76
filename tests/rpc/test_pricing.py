"""Rate cards over the wire: put, listed, quoted, and kept."""

import grpc
import pytest

from meterd.v1 import account_pb2, pricing_pb2
from meterd_server.errors import StoreUnavailable
from meterd_server.prices import Prices

from .house import TIMEOUT_SECONDS, refused
from .prices import MICROCENT, card, moment, usage

Code = grpc.StatusCode


async def listed(house, service="", **more):
    """Return the cards of all pages."""
    cards, token = [], ""
    while True:
        request = pricing_pb2.ListRateCardsRequest(service=service, page_token=token, **more)
        page = await house.pricing.ListRateCards(request, timeout=TIMEOUT_SECONDS)
        cards += page.rate_cards
        token = page.next_page_token
        if not token:
            return cards


async def test_a_card_is_numbered_and_kept_as_it_is(house):
    """What is put comes back with its version, every field of it, from the answer, the list and the store."""
    tier = pricing_pb2.RateTier(over_units=200_000, meters=["input_tokens"], prices_picocents={"input_tokens": 9})
    put = card(
        "chat", "large-*", effective=2026, source="the vendor", per_call_picocents=5, minimum_picocents=7, tiers=[tier]
    )
    answer = await house.put(put)
    expected = pricing_pb2.RateCard()
    expected.CopyFrom(put)
    expected.version = 1
    assert ([expected], 1) == (list(answer.rate_cards), answer.added_count)
    assert [expected] == await listed(house)
    fresh = Prices(house.store, clock_us=lambda: 0)
    await fresh.load()
    assert list(house.prices.book) == list(fresh.book)


async def test_the_next_version_takes_effect_at_its_date(house):
    """A card for the same service and model is its next version; both are there."""
    await house.put(card())
    await house.put(card(prices={"input_tokens": 1}, effective=2030))
    assert [1, 2] == [each.version for each in await listed(house)]
    assert 200 == (await house.quote("", usage(input_tokens=1))).cost_microcents


async def test_the_same_cards_again_change_nothing(house):
    """A file may be loaded at every start."""
    cards = [card(), card("scan", prices={"pages": 150_000 * MICROCENT})]
    first, again = await house.put(*cards), await house.put(*cards)
    assert (2, 0) == (first.added_count, again.added_count)
    assert first.rate_cards == again.rate_cards


@pytest.mark.parametrize(
    "second",
    [
        card(prices={"input_tokens": 1}),
        card(prices={"input_tokens": 1}, effective=2020),
        card(prices={"input_tokens": 1}, effective=2030, version=1),
    ],
)
async def test_a_card_is_never_edited(house, second):
    """Other prices for the same or an earlier date, or under a number that is taken, are a conflict: no card is taken."""
    await house.put(card(effective=2025))
    if not second.HasField("effective_time"):
        second.effective_time.CopyFrom(moment(2025))
    refusal = await refused(house.put(card("other"), second))
    assert (Code.FAILED_PRECONDITION, "RATE_CARD_CONFLICT") == (refusal.code, refusal.reason)
    assert ["chat"] == [each.service for each in await listed(house)]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (card(""), "service"),
        (card(prices={}), "1 to 64 prices"),
        (card(prices={"input_tokens": -1}), "input_tokens"),
        (card(prices={"Input": 1}), "Input"),
        (card(per_call_picocents=-1), "per_call"),
        (card(tiers=[pricing_pb2.RateTier(over_units=1)]), "tier"),
        (card(effective=1969), "effective"),
    ],
)
async def test_a_malformed_card(house, bad, says):
    """What is wrong with a card is said of its place in the request, and none is taken."""
    refusal = await refused(house.put(card("good"), bad))
    assert (Code.INVALID_ARGUMENT, ["rate_cards[1]"]) == (refusal.code, refusal.fields)
    assert says in refusal.message
    assert [] == await listed(house)


async def test_no_cards_and_too_many(house):
    """A request has cards, and not too many."""
    for count in (0, 10_001):
        request = pricing_pb2.PutRateCardRequest(rate_cards=[pricing_pb2.RateCard()] * count)
        assert ["rate_cards"] == (await refused(house.pricing.PutRateCard(request))).fields


async def test_a_dry_run_takes_nothing(house):
    """validate_only answers, and refuses, as putting would."""
    answer = await house.put(card(), validate_only=True)
    assert (1, 1) == (answer.added_count, answer.rate_cards[0].version)
    assert [] == await listed(house)
    await house.put(card())
    refusal = await refused(house.put(card(prices={"input_tokens": 1}), validate_only=True))
    assert "RATE_CARD_CONFLICT" == refusal.reason


async def test_pages_of_cards(house):
    """All cards are listed once, in order, by service if asked for."""
    await house.put(*[card(f"service-{number:02}") for number in range(25)], card("service-07", "model"))
    names = sorted([f"service-{number:02}" for number in range(25)] + ["service-07"])
    assert names == [each.service for each in await listed(house, page_size=10)]
    assert ["", "model"] == [each.model for each in await listed(house, "service-07", page_size=1)]
    request = pricing_pb2.ListRateCardsRequest(page_token="abc")
    assert ["page_token"] == (await refused(house.pricing.ListRateCards(request))).fields
    request = pricing_pb2.ListRateCardsRequest(page_size=-1)
    assert ["page_size"] == (await refused(house.pricing.ListRateCards(request))).fields


async def test_a_store_that_fails_keeps_no_card(house):
    """When it is not known whether the cards are kept, none is used, and putting them again settles it."""

    async def fail(_):
        raise StoreUnavailable("disk")

    add, house.store.add_rate_cards = house.store.add_rate_cards, fail
    assert "STORE_UNAVAILABLE" == (await refused(house.put(card()))).reason
    assert [] == await listed(house)
    house.store.add_rate_cards = add
    assert 1 == (await house.put(card())).added_count


async def test_another_daemon_was_first(house):
    """Cards that somebody else has kept meanwhile are taken in, and the own ones numbered after them or refused."""
    other = Prices(house.store, clock_us=lambda: 0)
    await house.put(card())
    stale = list(other.book)
    assert [] == stale
    with pytest.raises(Exception, match="same date"):
        await other.add([next(iter(house.prices.book)).__class__("chat", "", {"input_tokens": 1})])
    assert list(house.prices.book) == list(other.book)


async def test_a_quote(house):
    """A quote says cost, card, whether the user can afford it, and how many units more of a meter."""
    await house.put(card())
    await house.fund("ada", 100_000)
    quote = await house.quote("ada", usage(input_tokens=100), "output_tokens")
    assert (20_000, True, 100_000, 0, 133) == (
        quote.cost_microcents,
        quote.allowed,
        quote.available_microcents,
        quote.shortfall_microcents,
        quote.affordable_units,
    )
    assert account_pb2.RateCardKey(service="chat", version=1) == quote.rate_card
    assert (await house.check("ada", usage=usage(input_tokens=100, output_tokens=133))).allowed
    assert not (await house.check("ada", usage=usage(input_tokens=100, output_tokens=134))).allowed


async def test_a_quote_that_is_too_expensive(house):
    """A usage beyond the balance is not allowed, says what is missing, and leaves no units."""
    await house.put(card())
    await house.fund("ada", 100)
    quote = await house.quote("ada", usage(input_tokens=1), "input_tokens")
    assert (False, 100, 0) == (quote.allowed, quote.shortfall_microcents, quote.affordable_units)


async def test_a_quote_for_nobody_is_the_price(house):
    """Without a user the answer is the price alone; a meter then makes no sense."""
    await house.put(card())
    quote = await house.quote("", usage(input_tokens=3))
    assert (600, False, False) == (quote.cost_microcents, quote.allowed, quote.HasField("affordable_units"))
    assert ["meter"] == (await refused(house.quote("", usage(input_tokens=3), "input_tokens"))).fields


async def test_a_quote_without_a_price(house):
    """Usage or a meter that no card has a price for is UNKNOWN_RATE."""
    await house.put(card())
    assert "UNKNOWN_RATE" == (await refused(house.quote("ada", usage("fax", pages=1)))).reason
    refusal = await refused(house.quote("ada", usage(input_tokens=1), "pages"))
    assert ("UNKNOWN_RATE", "pages") == (refusal.reason, refusal.metadata["meter"])
