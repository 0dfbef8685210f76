"""Files of rate cards that people write: what they say, and where they are wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterd_server.pricing import RateBook, RateCard, Tier
from meterd_server.rate_files import SEED, RateFileError, load_cards, parse_cards, render_cards, toml_cards
from meterd_server.rate_files.toml_lines import line_of, lines_by_path
from pricing.shorthand import MICROCENT, cards, picocents_of, rates

HEAD = '[[card]]\nservice = "s"\n'
PRICE = 'prices.units = "1 cent"\n'


def problems(text):
    """Return what is wrong with a text, as people see it."""
    with pytest.raises(RateFileError) as caught:
        parse_cards(text, "rates.toml")
    return str(caught.value).split("\n")


def test_the_documented_example_is_read_as_it_says():
    """The module's own text is the guide, so it has to be true."""
    example = toml_cards.__doc__.split("```toml\n")[1].split("```")[0]
    large, exact, pattern = parse_cards(example, "example.toml")
    assert (
        RateCard(
            "mistral",
            "mistral-large-latest",
            {"input_tokens": 200 * MICROCENT, "output_tokens": 600 * MICROCENT},
            effective_from_us=1_767_225_600_000_000,
            source="https://mistral.ai/pricing, read on 2 November 2026",
        )
        == large
    )
    assert ["claude-sonnet-4-5", "claude-sonnet-4-5-*"] == [exact.model, pattern.model]
    assert (100_000 * MICROCENT, 10**12) == (exact.per_call_picocents, exact.minimum_picocents)
    size = ("cache_read_tokens", "input_tokens")
    assert (Tier(200_000, size, {"input_tokens": 600 * MICROCENT, "output_tokens": 2250 * MICROCENT}),) == exact.tiers


def test_every_row_of_the_facts_loads_exactly():
    """Prices of real services, those of 7.5, 0.005 and 0.011176 microcents included."""
    tables = {}
    for row in rates():
        tables.setdefault((row["service"], row["model"]), []).append(row)
    text = "".join(
        f'[[card]]\nservice = "{service}"\nmodel = "{model}"\n'
        + "".join(f'prices.{row["meter"]} = "{row["microcents_per_unit"]} microcents"\n' for row in rows)
        for (service, model), rows in tables.items()
    )
    book = RateBook(parse_cards(text, "rates.toml"))
    for row in rates():
        assert picocents_of(row) == book.rate(row["service"], row["model"], {row["meter"]: 1}, 0).picocents
    assert list(book) == list(RateBook(parse_cards(render_cards(book), "again.toml")))


def test_the_seed_is_the_rows_marked_seed():
    """The three services that the daemon knows from the start cost what the facts say."""
    seeds = {(r["service"], r["model"], r["meter"]): picocents_of(r) for r in rates() if r["note"] == "seed"}
    assert seeds == {(c.service, c.model, meter): price for c in load_cards(SEED) for meter, price in c.prices.items()}


def test_dates_are_midnight_utc_or_an_instant():
    """A date begins at midnight in UTC; a time needs its zone, and is exact to the microsecond."""
    dates = ["1970-01-02", "1970-01-01T00:00:00.000001Z", "1970-01-01T02:00:00+01:00"]
    text = "".join(f"{HEAD}model = '{n}'\neffective = {each}\n{PRICE}" for n, each in enumerate(dates))
    assert [86_400_000_000, 1, 3_600_000_000] == [c.effective_from_us for c in parse_cards(text, "x")]


def test_cards_for_the_same_model_are_versions_by_date():
    """A file may hold the history of a price, in any order."""
    text = f"{HEAD}effective = 2026-01-01\n{PRICE}{HEAD}{PRICE}"
    assert [(1, 0), (2, 1_767_225_600_000_000)] == [
        (c.version, c.effective_from_us) for c in RateBook(parse_cards(text, "x"))
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(f"{HEAD}prices.units = '1 cent per 3'\n", "3: '1 cent per 3' is not a whole number of pico", id="not whole"),
        pytest.param(f"{HEAD}prices.units = '-1 cent'\n", "3: '-1 cent' is negative", id="negative"),
        pytest.param(f"{HEAD}prices.units = 2.50\n", "3: a price is a text with its unit, as in '2.00 USD', not 2.50", id="bare"),
        pytest.param(f"{HEAD}prices.units = '1e9 USD'\n", "3: '1e9 USD' is not a price", id="notation"),
        pytest.param(f"{HEAD}prices.units = '90001 USD'\n", "3: the price of units must be 0 to", id="too high"),
        pytest.param(f"{HEAD}prices.Units = '1 cent'\n", "3: 'Units' is not the name of a meter", id="meter"),
        pytest.param(f"{HEAD}{PRICE}minimum = 'none'\n", "4: 'none' is not a price", id="minimum"),
        pytest.param(HEAD, "1: there must be a price for each meter", id="no prices"),
        pytest.param(f"{HEAD}prices = 5\n", "3: there must be a price for each meter", id="prices are no table"),
        pytest.param("[[card]]\n" + PRICE, "1: the card has no service", id="no service"),
        pytest.param(f"[[card]]\nservice = 5\n{PRICE}", "2: service must be a text, not 5", id="service"),
        pytest.param(f"[[card]]\nservice = ''\n{PRICE}", "1: service must have 1 to 64 bytes", id="empty service"),
        pytest.param(f"{HEAD}modle = 'm'\n{PRICE}", "3: there is no key 'modle' here; did you mean model?", id="key"),
        pytest.param(f"sauce = 'me'\n{HEAD}{PRICE}", "1: there is no key 'sauce' here; did you mean source?", id="top key"),
        pytest.param(f"{HEAD}model = []\n{PRICE}", "3: model must be a name, a pattern", id="no model"),
        pytest.param(f"{HEAD}model = [\n'a', 5]\n{PRICE}", "3: model must be a name, a pattern", id="odd model"),
        pytest.param(f"{HEAD}effective = '2026-01-01'\n{PRICE}", "3: effective must be a date such as", id="quoted date"),
        pytest.param(f"{HEAD}effective = 2026-01-01T00:00:00\n{PRICE}", "3: effective needs a time zone", id="no zone"),
        pytest.param(f"{HEAD}effective = 1969-12-31\n{PRICE}", "3: effective must not be before 1970", id="old date"),
        pytest.param(f"{HEAD}effective = 2026-02-30\n{PRICE}", "3: not TOML: Invalid date", id="no such date"),
        pytest.param(f"{HEAD}{PRICE}{HEAD}{PRICE}", "4: the card for 's' is here twice with the same date", id="twice"),
        pytest.param(f"{HEAD}model = ['m', 'm']\n{PRICE}", "1: the card for 's', model 'm' is here twice", id="twice in a list"),
        pytest.param(f"{HEAD}{PRICE}[[card.tier]]\n{PRICE}", "4: over must be a number and a meter", id="no size"),
        pytest.param(f"{HEAD}{PRICE}[[card.tier]]\nover = '1k units'\n{PRICE}", "5: over must be a number", id="odd size"),
        pytest.param(f"{HEAD}{PRICE}[[card.tier]]\nover = '1 x'\n{PRICE}", "1: the tier over 1 names 'x'", id="tier by x"),
        pytest.param(f"{HEAD}{PRICE}[card.tier]\nover = '1 units'\n{PRICE}", "4: write [[card.tier]]", id="one bracket"),
        pytest.param(f"[card]\nservice = 's'\n{PRICE}", "1: write [[card]]", id="card in one bracket"),
        pytest.param("", "1: there is no [[card]]", id="empty"),
        pytest.param("[[card]]\nservice = \n", "2: not TOML: Invalid value", id="syntax"),
        pytest.param("[[card]]\nprices = {", "2: not TOML:", id="syntax at the end"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_line_and_reason(text, problem):
    """And no card of the file is loaded, the good ones neither."""
    [found] = problems(text)
    assert f"rates.toml:{problem}" == found[: len(f"rates.toml:{problem}")]


def test_all_that_is_wrong_is_said_at_once():
    """A person corrects a file once, not once for each error; in the order of its lines."""
    text = f"{HEAD}colour = 'red'\nprices.a = '1'\nprices.b = '1 cent'\nprices.c = 'x'\n[[card]]\n{PRICE}"
    assert [3, 4, 6, 7] == [int(problem.split(":")[1]) for problem in problems(text)]


def test_lines_are_found_however_a_table_is_written():
    """Headers, dotted and quoted keys, inline tables, arrays over several lines, and texts that look like keys."""
    text = (
        '# [[card]]\nsource = """\n[[card]]\nservice = 1\n"""\n\n[[card]]\r\nservice = "s" # prices.a\n'
        'model = [\n  "a", # service = \n]\n"prices".a = 1\nprices."b" = 2\n\n[[card.tier]]\nover = 1\n[[card.tier]]\n'
        "prices = { a = 1, b = 2 }\n[[card]]\n[card.prices]\na = 1\n  [[card.tier]]\n"
    )
    lines = lines_by_path(text)
    found = {
        ("source",): 2, ("card",): 7, ("card", 0, "service"): 8, ("card", 0, "model"): 9, ("card", 0, "prices", "a"): 12,
        ("card", 0, "prices", "b"): 13, ("card", 0, "tier", 0): 15, ("card", 0, "tier", 0, "over"): 16,
        ("card", 0, "tier", 1): 17, ("card", 0, "tier", 1, "prices", "b"): 18, ("card", 1): 19,
        ("card", 1, "prices"): 20, ("card", 1, "prices", "a"): 21, ("card", 1, "tier", 0): 22,
    }  # fmt: skip
    assert found == {path: lines[path] for path in found}
    assert 8 == line_of(lines, ("card", 0, "service", "of", "nothing"))


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    """Missing, or not text: with its name, and the line as far as there is one."""
    with pytest.raises(RateFileError, match=r"none.toml:1: cannot be read: No such file"):
        load_cards(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# 1\n# \xe9\n")
    with pytest.raises(RateFileError, match=r"latin.toml:2: not UTF-8 at byte 6"):
        load_cards(tmp_path / "latin.toml")


@given(st.lists(cards(), max_size=4, unique_by=lambda card: (card.model, card.effective_from_us)))
def test_cards_survive_the_file_that_is_written_for_people(made):
    """What an import writes, a person reads and a daemon loads: equal cards, in the same order."""
    if made:
        assert made == list(parse_cards(render_cards(made), "written.toml"))


def test_a_written_card_reads_well():
    """As a person would have written it; models with the same prices share a table, and the version is a comment."""
    prices = {"input_tokens": 200 * MICROCENT, "output_tokens": 0}
    tiers = (Tier(200_000, ("input_tokens",), {"input_tokens": 400 * MICROCENT}),)
    made = [RateCard("chat", model, prices, 86_400_000_000, 2, "me", tiers=tiers) for model in ("m", "m-*")]
    assert """\
[[card]]  # version 2
service = "chat"
model = ["m", "m-*"]
effective = 1970-01-02
source = "me"
prices.input_tokens = "2.00 USD per 1_000_000"
prices.output_tokens = "free"
[[card.tier]]
over = "200_000 input_tokens"
prices.input_tokens = "4.00 USD per 1_000_000"
""" == render_cards(made)
