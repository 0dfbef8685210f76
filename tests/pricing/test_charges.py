"""What accounts are charged: exact in sum, however usage is split."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterd_server.model import OPERATION_MICROCENTS_MAX
from meterd_server.pricing import OPERATION_PICOCENTS_MAX, Charge, RateBook, charge
from meterd_server.rate_files import SEED, load_cards
from pricing.shorthand import MICROCENT, card


def charged(priced, calls):
    """The microcents charged for calls, one after the other, to an account that owed nothing before."""
    total = residue = 0
    for quantities in calls:
        microcents, residue = charge(residue, priced.price(quantities))
        total += microcents
        assert 0 <= residue < MICROCENT
    return total


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_charges_add_up_to_the_price_of_the_sum(seed):
    """For any prices per unit and any split of any usage, in 10,000 random cases: 100 for each seed."""
    random = Random(seed)
    for _ in range(100):
        digits = random.randrange(1, 13)
        priced = card(prices={meter: random.randrange(10**digits) for meter in "abc"[: random.randrange(1, 4)]})
        calls = [
            {meter: random.randrange(10 ** random.randrange(1, 8)) for meter in priced.prices if random.random() < 0.8}
            for _ in range(random.randrange(1, 12))
        ]
        whole = {meter: sum(call.get(meter, 0) for call in calls) for meter in priced.prices}
        assert priced.price(whole) // MICROCENT == charged(priced, calls)


@given(st.integers(0, MICROCENT - 1), st.integers(0, OPERATION_PICOCENTS_MAX))
def test_nothing_is_lost_or_made_by_a_charge(residue, picocents):
    """What was owed and what is new is charged now or owed from now on, and what is owed is less than a microcent."""
    microcents, left = charge(residue, picocents)
    assert residue + picocents == microcents * MICROCENT + left
    assert 0 <= left < MICROCENT
    assert microcents <= OPERATION_MICROCENTS_MAX


def test_a_charge_is_whole_microcents_and_the_rest_is_owed():
    """A tenth of a microcent is charged by the tenth time."""
    assert Charge(0, 900_000) == charge(800_000, 100_000)
    assert Charge(1, 0) == charge(900_000, 100_000)


@pytest.mark.parametrize(
    ("service", "model", "quantities", "microcents"),
    [
        pytest.param(
            "mistral", "mistral-large-latest", {"input_tokens": 1_000, "output_tokens": 500}, 500_000, id="chat"
        ),
        pytest.param("aws-polly", "standard", {"characters": len("Hello")}, 2_000, id="Hello, spoken"),
        pytest.param("aws-textract", "detect-text", {"pages": 3}, 450_000, id="three pages"),
    ],
)
def test_the_worked_examples(service, model, quantities, microcents):
    """What the three seed services cost, to the microcent."""
    rated = RateBook(load_cards(SEED)).rate(service, model, quantities, 0)
    assert Charge(microcents, 0) == charge(0, rated.picocents)
    assert "seed" == rated.card.source
