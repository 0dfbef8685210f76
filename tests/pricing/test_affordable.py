"""How many units can still be paid for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterd_server.model import OPERATION_MICROCENTS_MAX
from meterd_server.pricing import QUANTITY_MAX, RateCard, Tier, affordable_units, charge
from pricing.shorthand import HAIKU, MICROCENT, card, cards, tiered


def test_a_chat_is_told_how_long_its_answer_may_be():
    """After 1,000 tokens of input for 100 microcents each, 150,000 microcents leave 100 tokens of output at 500."""
    quantities = {"input_tokens": 1_000}
    assert 100 == affordable_units(card(prices=HAIKU), quantities, "output_tokens", 150_000)
    assert 99 == affordable_units(card(prices=HAIKU), quantities, "output_tokens", 149_999)
    assert 0 == affordable_units(card(prices=HAIKU), quantities, "output_tokens", 100_000)
    assert 0 == affordable_units(card(prices=HAIKU), quantities, "output_tokens", 99_999)


def test_units_come_on_top_of_those_used():
    """60 of the 100 that could be afforded are used: 40 more can be."""
    assert 40 == affordable_units(card(), {"units": 60}, "units", 100)


def test_the_residue_counts():
    """At 0.4 microcents a unit, 7 units are 2 microcents and 0.8 owed; with 0.3 owed before they would be 3."""
    priced = card(prices={"units": 400_000})
    assert 7 == affordable_units(priced, {}, "units", 2)
    assert 6 == affordable_units(priced, {}, "units", 2, residue_picocents=300_000)


def test_the_flat_price_and_the_minimum_count():
    """They have to be affordable before any unit is, and units within the minimum cost nothing more."""
    flat = card(per_call_picocents=10 * MICROCENT)
    assert [0, 0, 1] == [affordable_units(flat, {}, "units", available) for available in (9, 10, 11)]
    least = card(minimum_picocents=10 * MICROCENT)
    assert [0, 10, 11] == [affordable_units(least, {}, "units", available) for available in (9, 10, 11)]


def test_a_dearer_tier_is_stayed_below():
    """101 units would cost 202: with 200, 100 are affordable; with 300, 150 are."""
    assert [100, 150] == [affordable_units(tiered(100, 2 * MICROCENT), {}, "units", each) for each in (200, 300)]


def test_a_cheaper_tier_is_not_jumped_to():
    """Where large calls are cheaper, 120 units may be affordable and 90 not: a cap has to hold for every number below it."""
    discount = tiered(100, MICROCENT // 2)
    # With 100, 201 units cost 100.5, of which 100 are charged and half a one is owed.
    assert [60, 201] == [affordable_units(discount, {}, "units", available) for available in (60, 100)]


def test_a_free_meter_is_limited_by_the_contract_only():
    """Free units are affordable as long as the rest of the call is, up to what an int64 can say."""
    free = card(prices={"units": 0, "paid": MICROCENT})
    assert QUANTITY_MAX - 5 == affordable_units(free, {"units": 5, "paid": 10}, "units", 10)
    assert 0 == affordable_units(free, {"paid": 10}, "units", 9)
    assert 0 == affordable_units(free, {}, "units", -1)


def test_nobody_affords_more_than_one_operation_may_cost():
    """However much is available, what is told can be recorded."""
    assert OPERATION_MICROCENTS_MAX == affordable_units(card(), {}, "units", 9 * 10**18)


def test_sizes_beyond_the_contract_do_no_harm():
    """A tier that no call can reach is no tier."""
    never = RateCard("s", "", {"units": 0}, tiers=(Tier(2**63 - 1, ("units",), {"units": 9 * 10**18}),))
    assert QUANTITY_MAX == affordable_units(never, {}, "units", 0)


def test_a_meter_without_a_price_is_named():
    """As when it is rated: it cannot be afforded and is not free."""
    with pytest.raises(KeyError, match="pages"):
        affordable_units(card(), {}, "pages", 10)


@settings(max_examples=300, deadline=None)
@given(
    cards(),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 20)),
    st.integers(-1, 3),
    st.integers(0, MICROCENT - 1),
    st.randoms(use_true_random=False),
)
def test_it_is_what_trying_one_by_one_finds(priced, used, available, residue, random):
    """For any card: the last number before the first that is too expensive."""
    scaled = RateCard(
        "chat",
        "",
        {meter: price * 20_000 for meter, price in priced.prices.items()},
        per_call_picocents=priced.per_call_picocents * 10_000,
        minimum_picocents=priced.minimum_picocents * 10_000,
        tiers=tuple(
            Tier(tier.over, tier.meters, {meter: price * 20_000 for meter, price in tier.prices.items()})
            for tier in priced.tiers
        ),
    )
    used = {meter: units for meter, units in used.items() if meter in priced.prices}
    meter = random.choice(sorted(priced.prices))

    def affordable(units):
        return charge(residue, scaled.price({**used, meter: used.get(meter, 0) + units})).microcents <= available

    limit = 500
    found = next((units for units in range(limit) if not affordable(units)), None)
    told = affordable_units(scaled, used, meter, available, residue)
    assert told >= limit - 1 if found is None else max(0, found - 1) == told
