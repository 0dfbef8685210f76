"""Prices as people write them: exact, or refused."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterd_server.pricing import PRICE_PICOCENTS_MAX
from meterd_server.rate_files.price_text import PriceError, format_price, parse_price


@pytest.mark.parametrize(
    ("text", "picocents"),
    [
        ("2.00 USD per 1_000_000", 200 * 10**6),
        ("150 cents per 1000", 150_000 * 10**6),
        ("400 microcents", 400 * 10**6),
        ("0.005 microcents", 5_000),
        ("0.011176 microcents", 11_176),
        ("7.5 microcents", 7_500_000),
        ("1 USD", 10**14),
        ("1 cent", 10**12),
        ("17 picocents", 17),
        ("3 picocents per 3", 1),
        ("0 USD", 0),
        ("free", 0),
        ("  1  cent   per  10 ", 10**11),
        ("90_000 USD", PRICE_PICOCENTS_MAX),
    ],
)
def test_prices_are_read_exactly(text, picocents):
    """A number, a unit, and per how many; a number of any of the units is exact to the picocent."""
    assert picocents == parse_price(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 USD per 3", "not a whole number of picocents a unit .* between 33333333333333 and 33333333333334"),
        ("0.0000001 microcents", "between 0 and 1"),
        ("-1 USD", "is negative"),
        ("-0.5 cents per 1000", "is negative"),
        ("1 EUR", "is in 'EUR'; write USD"),
        ("1 usd", "is in 'usd'; write USD"),
        ("1 USD per 0", "is per 0 units"),
        *(
            (text, "is not a price; write")
            for text in ("", "2.00", "USD", "$2", "1,000 USD", "1e3 USD", ".5 USD", "1. USD")
        ),
        *(
            (text, "is not a price; write")
            for text in ("1 USD per", "1 USD per 1.5", "1__0 USD", "٣ USD", "Free", "nan USD")
        ),
        ("1" * 200 + " USD", "is not a price; write"),
    ],
)
def test_what_cannot_be_exact_is_refused(text, reason):
    """Nothing is rounded and nothing guessed; the reason says what to write instead."""
    with pytest.raises(PriceError, match=reason):
        parse_price(text)


@given(st.text())
def test_any_text_is_a_price_or_a_price_error(text):
    """No text makes the parser fail in any other way."""
    with suppress(PriceError):
        assert parse_price(text) >= 0


@given(st.integers(0, PRICE_PICOCENTS_MAX), st.sampled_from(["input_tokens", "pages"]))
def test_prices_round_trip(picocents, meter):
    """What is written for a person is read back as the same price."""
    assert picocents == parse_price(format_price(picocents, meter))


def test_prices_are_written_as_vendors_do():
    """Tokens and characters per million; what is dear by the piece."""
    assert "2.00 USD per 1_000_000" == format_price(200 * 10**6, "input_tokens")
    assert "0.075 USD per 1_000_000" == format_price(7_500_000, "cached_input_tokens")
    assert "1.50 USD per 1_000" == format_price(150_000 * 10**6, "pages")
    assert "0.167 USD" == format_price(16_700_000 * 10**6, "images")
    assert "0.05 USD per 1_000_000_000" == format_price(5_000, "bytes")
    assert "17 picocents" == format_price(17, "bytes")
    assert "free" == format_price(0, "bytes")
