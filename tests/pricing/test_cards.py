"""What a card says, what it costs, and which cards cannot be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterd_server.pricing import PRICE_PICOCENTS_MAX, CardError, RateCard, Tier, card_from_json, card_to_json
from pricing.shorthand import HAIKU, MICROCENT, card, cards, tiered


def test_a_call_costs_the_sum_of_its_units():
    """Each meter's units at that meter's price; a meter that was not used costs nothing."""
    assert (1_200 * 100 + 300 * 500) * MICROCENT == card(prices=HAIKU).price(
        {"input_tokens": 1_200, "output_tokens": 300}
    )
    assert 0 == card(prices=HAIKU).price({})


def test_cached_tokens_are_their_own_meter():
    """Quantities are disjoint: 1,000 tokens, 800 of them cached, are 200 at the full price and 800 at the lower."""
    price = card(prices=HAIKU).price({"input_tokens": 200, "cache_read_tokens": 800})
    assert (200 * 100 + 800 * 10) * MICROCENT == price


def test_a_call_has_a_flat_price_and_a_minimum():
    """The flat price is added to that of the units; the minimum is what a call costs at least, a call of nothing too."""
    priced = card(per_call_picocents=5 * MICROCENT, minimum_picocents=8 * MICROCENT)
    assert [8, 8, 8, 9] == [priced.price({"units": units}) // MICROCENT for units in (0, 1, 3, 4)]


def test_a_tier_is_for_the_whole_call():
    """Above its size, not at it, all of the call's units have the tier's price."""
    assert [100 * MICROCENT, 101 * 3 * MICROCENT] == [
        tiered(100, 3 * MICROCENT).price({"units": n}) for n in (100, 101)
    ]


def test_a_tier_counts_several_meters_and_prices_others():
    """As with AI vendors: cached input counts towards the size, and a long input makes the output dearer."""
    long = Tier(1_000, ("input_tokens", "cache_read_tokens"), {"output_tokens": 900})
    priced = card(prices=HAIKU | {"output_tokens": 500}, tiers=(long,))
    assert 500 == priced.price({"cache_read_tokens": 1_000, "output_tokens": 1}) - 1_000 * 10 * MICROCENT
    assert 900 == priced.price({"cache_read_tokens": 1_001, "output_tokens": 1}) - 1_001 * 10 * MICROCENT


def test_tiers_replace_the_ones_below():
    """In whatever order they are written: the largest that applies decides, where it has a price."""
    tiers = (Tier(20, ("a",), {"a": 3}), Tier(10, ("a",), {"a": 2, "b": 7}))
    priced = card(prices={"a": 1, "b": 5}, tiers=tiers)
    assert [10 + 5, 22 + 7, 63 + 7] == [priced.price({"a": size, "b": 1}) for size in (10, 11, 21)]


def test_a_meter_without_a_price_is_not_free():
    """It is named, even when none of it was used: a typing error must not cost nothing."""
    with pytest.raises(KeyError, match="output_token"):
        card(prices=HAIKU).price({"input_tokens": 1, "output_token": 0})


def test_a_card_cannot_be_changed():
    """Neither its fields nor its prices, nor through what it was made of."""
    prices = {"units": 1}
    made = card(prices=prices)
    prices["units"] = 2
    with pytest.raises(AttributeError):
        made.version = 2
    with pytest.raises(TypeError):
        made.prices["units"] = 2
    assert 1 == made.prices["units"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda: card(service=""), "service must have 1 to 64 bytes", id="no service"),
        pytest.param(lambda: card(service="é" * 33), "service must have 1 to 64 bytes, not 66", id="long service"),
        pytest.param(lambda: card(model="m\n"), "model must not have control characters", id="control character"),
        pytest.param(lambda: card(model="\ud800"), "model is not valid Unicode", id="lone surrogate"),
        pytest.param(lambda: card(model=None), "model must be a text", id="no text"),
        pytest.param(lambda: RateCard("s", "", {}), "must have 1 to 64 prices, not 0", id="no price"),
        pytest.param(lambda: card(prices={"Units": 1}), "'Units' is not the name of a meter", id="meter"),
        pytest.param(lambda: card(prices={"units": -1}), "the price of units must be 0 to", id="negative"),
        pytest.param(lambda: card(prices={"units": 1.0}), "must be a whole number, not 1.0", id="float"),
        pytest.param(lambda: card(prices={"units": True}), "must be a whole number, not True", id="bool"),
        pytest.param(lambda: card(prices={"units": PRICE_PICOCENTS_MAX + 1}), "must be 0 to", id="price too high"),
        pytest.param(lambda: card(minimum_picocents=-1), "minimum_picocents must be 0 to", id="minimum"),
        pytest.param(lambda: card(per_call_picocents=2**63), "per_call_picocents must be 0 to", id="flat price"),
        pytest.param(lambda: card(effective_from_us=-1), "effective_from_us must be 0 to", id="date"),
        pytest.param(lambda: Tier(1, (), {"units": 1}), "has to name the meters", id="tier of nothing"),
        pytest.param(lambda: Tier(-1, ("units",), {"units": 1}), "over must be 0 to", id="negative tier"),
        pytest.param(lambda: card(tiers=(Tier(1, ("x",), {"units": 1}),)), "names 'x'", id="tier by unpriced meter"),
        pytest.param(lambda: card(tiers=(Tier(1, ("units",), {"x": 1}),)), "names 'x'", id="tier of unpriced meter"),
        pytest.param(
            lambda: card(tiers=(Tier(1, ("units",), {"units": 1}),) * 2), "two tiers over 1 units", id="twice"
        ),
        pytest.param(
            lambda: card(tiers=[Tier(n, ("units",), {"units": 1}) for n in range(17)]), "16 are", id="17 tiers"
        ),
    ],
)
def test_a_malformed_card_cannot_be(make, reason):
    """Whoever has a card need not check it: making a malformed one fails, and says which field is wrong and why."""
    with pytest.raises(CardError, match=reason):
        make()


@given(cards(), st.dictionaries(st.sampled_from("abcd"), st.integers(-2, 40)))
def test_the_fast_way_to_a_price_is_right_or_none(made, quantities):
    """It gives the same price, and nothing where there are tiers, unknown meters or negative units."""
    expected = None
    if not made.tiers and quantities.keys() <= made.prices.keys() and min(quantities.values(), default=0) >= 0:
        expected = made.price(quantities)
    assert expected == made.price_of(tuple(sorted(quantities.items())))


@given(cards())
def test_cards_survive_json(made):
    """What is kept or sent is the same card when it is read, and has the same text again."""
    text = card_to_json(made)
    assert made == card_from_json(text)
    assert text == card_to_json(card_from_json(text))


def test_the_json_of_a_card_is_stable():
    """It is kept in databases: a change of this text is a change of a file format."""
    made = tiered(10, 3, service="chat", model="m*", effective_from_us=7, version=2, source="me", minimum_picocents=5)
    assert (
        '{"effective_from_us":7,"minimum_picocents":5,"model":"m*","per_call_picocents":0,"prices":{"units":1000000},'
        '"service":"chat","source":"me","tiers":[{"meters":["units"],"over":10,"prices":{"units":3}}],"version":2}'
    ) == card_to_json(made)


@pytest.mark.parametrize(
    "text",
    [
        *("", "7", "[]", "{}", '{"service":"s"}', '{"service":"s","model":"","prices":{"units":1},"colour":"red"}'),
        *('{"service":"s","model":"","prices":{"units":1.0}}', '{"service":"s","model":"","prices":{"units":NaN}}'),
        *(
            '{"service":"s","model":"","prices":[1]}',
            '{"service":"s","model":"","prices":{"units":1},"tiers":[{"over":1}]}',
        ),
    ],
)
def test_what_is_not_a_card_is_refused(text):
    """Text that is not a whole and well-formed card is never read as half of one."""
    with pytest.raises(CardError):
        card_from_json(text)
