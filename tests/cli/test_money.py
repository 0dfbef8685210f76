from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterd_server.cli.money import AmountError, format_dollars, format_microcents, format_money, parse_amount

INT64_MAX = 2**63 - 1
amounts = st.integers(-INT64_MAX, INT64_MAX)


@given(amounts)
def test_dollars_round_trip(microcents):
    """What is written in dollars is read back as the same number of microcents."""
    assert microcents == parse_amount(format_dollars(microcents))


@given(amounts)
def test_microcents_round_trip(microcents):
    """A plain integer is microcents, with or without underscores."""
    assert microcents == parse_amount(str(microcents)) == parse_amount(f"{microcents:_}")


@given(st.text())
def test_any_text_is_an_amount_or_an_amount_error(text):
    """No text makes the parser fail in any other way than by saying so."""
    with suppress(AmountError):
        assert isinstance(parse_amount(text), int)


@pytest.mark.parametrize(
    ("text", "microcents"),
    [
        ("0", 0),
        ("5_000", 5_000),
        (" 42 ", 42),
        ("-7", -7),
        ("$1.25", 125_000_000),
        ("1.25usd", 125_000_000),
        ("1.25 USD", 125_000_000),
        ("$1_000", 100_000_000_000),
        ("0.00000001usd", 1),
        ("-$0.5", -50_000_000),
        ("92233720368.54775807usd", INT64_MAX),
        ("9223372036854775807", INT64_MAX),
        ("0" * 5_000 + "7", 7),
    ],
)
def test_amounts_are_read_exactly(text, microcents):
    """Integers are microcents; dollars are exact to the last of 8 decimals."""
    assert microcents == parse_amount(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "abc", "1e5", "0x10", "1__0", "_1", "1_", "+5", "--5", "1 000", "1,000", "$1,50", "12c", "½", "٣", "nan"),
        *("$", "usd", "$.5", "$1.", "$1.5usd", "1.5 eur", "1.5  usd", "$ 1", "$-1", "1\n2"),
    ],
)
def test_other_notations_are_refused(text):
    """Nothing is guessed: a notation that could mean two things is not an amount."""
    with pytest.raises(AmountError, match="is not an amount"):
        parse_amount(text)


def test_a_ninth_decimal_is_refused():
    """There is nothing below a microcent, so a 9th decimal is an error and is never rounded."""
    with pytest.raises(AmountError, match="9 decimals"):
        parse_amount("$0.000000010")


@pytest.mark.parametrize("text", [str(2**63), "92233720368.54775808usd", "9" * 10_000])
def test_more_than_an_int64_is_refused(text):
    """What the contract cannot carry is refused before it is sent."""
    with pytest.raises(AmountError, match="int64"):
        parse_amount(text)


@pytest.mark.parametrize("text", ["1.25", ".25"])
def test_a_decimal_without_unit_gets_a_hint(text):
    """`1.25` may be anything, and `.25` is what a shell makes of an unquoted $1.25: both are told what to write."""
    with pytest.raises(AmountError, match=rf"{text}usd.*single quotes"):
        parse_amount(text)


def test_people_see_dollars_and_microcents():
    """Dollars have all 8 decimals, so that columns align; microcents have thousands separators."""
    assert "$0.00050000" == format_dollars(50_000)
    assert "-$0.00000001" == format_dollars(-1)
    assert "50,000 µ¢" == format_microcents(50_000)
    assert "$0.00050000 (50,000 µ¢)" == format_money(50_000)
