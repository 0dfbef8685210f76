"""Cards in short, and the facts that prices are tested with."""

import csv
from decimal import Decimal
from pathlib import Path

from hypothesis import strategies as st

from meterd_server.pricing import RateCard, Tier

DATA = Path(__file__).parent / "data"
MICROCENT = 1_000_000
"""In picocents."""

HAIKU = {"input_tokens": 100 * MICROCENT, "cache_read_tokens": 10 * MICROCENT, "output_tokens": 500 * MICROCENT}


def card(service="chat", model="", prices=None, **fields):
    """Return a card with one meter, `units`, for 1 microcent each, unless said otherwise."""
    return RateCard(service, model, prices or {"units": MICROCENT}, **fields)


def tiered(over, picocents_above, picocents=MICROCENT, **fields):
    """Return a card whose units cost something else in calls of more than `over` of them."""
    return card(prices={"units": picocents}, tiers=(Tier(over, ("units",), {"units": picocents_above}),), **fields)


def rates():
    """The rows of rates.csv: prices of real services, some of less than a microcent."""
    with (DATA / "rates.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def picocents_of(row):
    """The exact price of a row."""
    return int(Decimal(row["microcents_per_unit"]) * MICROCENT)


@st.composite
def cards(draw, meters=("a", "b", "c")):
    """Cards with everything that a card can have, at prices and sizes where all of it matters."""
    price = st.integers(0, 20)
    prices = draw(st.dictionaries(st.sampled_from(meters), price, min_size=1))
    own = st.sampled_from(sorted(prices))
    sizes = draw(st.lists(st.integers(0, 30), max_size=3, unique=True))
    return RateCard(
        "chat",
        draw(st.sampled_from(["", "m", "m*", "*-latest"])),
        prices,
        effective_from_us=draw(st.integers(0, 10**15)),
        source=draw(st.sampled_from(["", 'a "list" \\ of prices'])),
        per_call_picocents=draw(price),
        minimum_picocents=draw(st.integers(0, 200)),
        tiers=tuple(
            Tier(size, tuple(draw(st.sets(own, min_size=1))), draw(st.dictionaries(own, price, min_size=1)))
            for size in sizes
        ),
    )
