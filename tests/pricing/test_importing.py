"""What is taken from other projects' prices, and what is not."""

import sys
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from types import SimpleNamespace

import pytest

from meterd_server.pricing import RateBook, Tier
from meterd_server.rate_files import Problem, RateFileError, parse_cards, render_cards
from meterd_server.rate_files.genai_prices import import_genai_prices
from meterd_server.rate_files.litellm import import_litellm
from meterd_server.rate_files.models_dev import import_models_dev
from pricing.shorthand import DATA, MICROCENT

LITELLM, GENAI, MODELS_DEV = DATA / "litellm.json", DATA / "genai_prices.json", DATA / "models_dev"
MARCH_13 = 1_773_360_000_000_000
SIZE = ("cache_read_tokens", "cache_write_5m_tokens", "cache_write_tokens", "cached_input_tokens", "input_tokens")


def prices_of(imported, service, model):
    """Return the prices of the first version for a model, in microcents."""
    card = RateBook(imported.cards).versions(service, model)[0]
    return {meter: Decimal(price) / MICROCENT for meter, price in card.prices.items()}


def skipped(imported):
    """Return what was skipped and why, as a person reads it."""
    return [f"{name}: {reason}" for name, reason in imported.skipped]


def test_floats_are_read_as_the_decimals_they_are_written_as():
    """LiteLLM's 7.5e-08 dollars a token are 7.5 microcents, exactly; a cached token has both of its names."""
    assert {
        "input_tokens": Decimal(75),
        "cache_read_tokens": Decimal("7.5"),
        "cached_input_tokens": Decimal("7.5"),
        "output_tokens": Decimal(450),
    } == prices_of(import_litellm(LITELLM), "openai", "gpt-5.4-mini")


def test_litellm_units_are_meters():
    """Characters and pages as well as tokens; the provider is the service, and no part of the model's name."""
    imported = import_litellm(LITELLM)
    assert {"characters": 1_500} == prices_of(imported, "openai", "tts-1")
    assert {"pages": 100_000} == prices_of(imported, "mistral", "mistral-ocr-latest")


def test_litellm_says_what_it_did_not_take_and_why():
    """Every entry is a card or is in the report; what a card cannot say exactly is not taken at all."""
    imported = import_litellm(LITELLM)
    assert ["gpt-5.4-mini", "claude-sonnet-4-20250514", "tts-1", "mistral-ocr-latest"] == [
        c.model for c in imported.cards
    ]
    assert [
        "gpt-5.4-mini: other units or classes of service: input_cost_per_token_batches, search_context_cost_per_query",
        "openai/gpt-5.4-mini: the card for 'openai', model 'gpt-5.4-mini' was taken from an entry before",
        "gpt-live: the price of seconds is not a whole number of picocents, but between 28333333333 and 28333333334",
        "dashscope/qwen-plus: the price depends on a range of tokens",
        "github_copilot/gpt-4o: every price is 0; write a card with 'free' if that is what it costs",
        "openai/container: other units or classes of service: code_interpreter_cost_per_session",
        "openai/container: there is no price for it",
        "nobody/knows: it has no litellm_provider",
    ] == skipped(imported)


def test_litellm_prices_of_large_calls_are_tiers():
    """Above 200k tokens of input, however they got there: the cached ones count too."""
    imported = import_litellm(LITELLM)
    [card] = RateBook(imported.cards).versions("anthropic", "claude-sonnet-4-20250514")
    [tier] = card.tiers
    assert (200_000, tuple(sorted([*SIZE, "cache_write_1h_tokens"]))) == (tier.over, tier.meters)
    assert 2_250 * MICROCENT == tier.prices["output_tokens"]
    assert 60 * MICROCENT == tier.prices["cached_input_tokens"]
    assert "LiteLLM: https://platform.claude.com/docs/en/about-claude/pricing" == card.source


def test_genai_prices_have_dates_and_patterns():
    """Each price is a version from its date on, under the id and under every pattern it is known by."""
    imported = import_genai_prices(GENAI)
    book = RateBook(imported.cards)
    first, second = book.versions("anthropic", "claude-sonnet-4-6*")
    assert (0, MARCH_13) == (first.effective_from_us, second.effective_from_us)
    assert (Tier(200_000, SIZE, dict(first.tiers[0].prices)),) == first.tiers
    assert () == second.tiers
    assert 1_000_000 * MICROCENT == second.prices["web_searches"]
    assert "claude-sonnet-4.6*" == book.card("anthropic", "claude-sonnet-4.6-20260217", 0).model


def test_genai_prices_from_a_date_on():
    """What was valid before is of no interest: the price of the day, and the later ones."""
    cards = import_genai_prices(GENAI, effective_from_us=MARCH_13 - 5).cards
    dates = sorted({card.effective_from_us for card in cards if card.service == "anthropic"})
    assert [MARCH_13 - 5, MARCH_13] == dates
    cards = import_genai_prices(GENAI, effective_from_us=MARCH_13 + 5).cards
    assert {(MARCH_13 + 5, ())} == {(c.effective_from_us, c.tiers) for c in cards if c.service == "anthropic"}


def test_genai_prices_says_what_it_did_not_take_and_why():
    """A price that depends on the hour is none; of two models under one name the first counts."""
    imported = import_genai_prices(GENAI)
    assert [
        "deepseek/deepseek-chat: not understood: the price depends on the hour",
        "openai/gpt-4o-latest: the card for 'openai', model 'gpt-4o' was taken from an entry before",
        "openai/thirds: the price of seconds is not a whole number of picocents, but between 27777777777 and 27777777778",
        "openai/gpt-image-2: other units: input_gpixels",
        "openai/sonar: other prices for other classes of service: price_variants",
    ] == skipped(imported)
    assert {"input_tokens": 500, "output_tokens": 1_500} == prices_of(imported, "openai", "gpt-4o-latest")
    assert {"seconds": 10_000} == prices_of(imported, "openai", "whisper-1")
    [sonar] = RateBook(imported.cards).versions("openai", "*sonar")
    assert 500_000 * MICROCENT == sonar.per_call_picocents


def test_genai_prices_from_the_installed_package(monkeypatch):
    """Its objects say the same as its JSON."""

    @dataclass
    class Described:
        starts_with: str | None = None
        or_: list | None = None
        start_date: date | None = None
        constraint: object = None
        prices: object = None
        base: Decimal | None = None
        tiers: list | None = None
        start: int | None = None
        price: Decimal | None = None

    class ModelPrice:
        def __init__(self, **prices):
            self.__dict__ = {"_registry": None, "output_mtok": None, **prices}

    tiers = Described(base=Decimal(3), tiers=[Described(start=200_000, price=Decimal(6))])
    prices = [
        Described(prices=ModelPrice(input_mtok=tiers)),
        Described(prices=ModelPrice(input_mtok=Decimal("0.1")), constraint=Described(start_date=date(2026, 3, 13))),
    ]

    @dataclass
    class Model:
        id: str
        match: object
        prices: list

    @dataclass
    class Provider:
        id: str
        models: list

    match = Described(or_=[Described(starts_with="m-")])
    data = SimpleNamespace(providers=[Provider("acme", [Model("m", match, prices)])])
    monkeypatch.setitem(sys.modules, "genai_prices.data", data)
    cards = import_genai_prices().cards
    assert [("m", 0), ("m-*", 0), ("m", MARCH_13), ("m-*", MARCH_13)] == [(c.model, c.effective_from_us) for c in cards]
    assert (Tier(200_000, ("input_tokens",), {"input_tokens": 600 * MICROCENT}),) == cards[0].tiers
    assert {"input_tokens": 10 * MICROCENT} == dict(cards[2].prices)


def test_genai_prices_without_the_package_says_what_to_install(monkeypatch):
    """The package is an extra, and a file does as well."""
    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    with pytest.raises(RateFileError, match=r"pip install 'meterd\[prices\]', or name a data.json"):
        import_genai_prices()


def test_models_dev_is_read_from_its_folder():
    """The folders say the provider and the model; dollars per million tokens, or per minute."""
    imported = import_models_dev(MODELS_DEV)
    assert [("groq", "openai/gpt-oss-20b"), ("openai", "gpt-5.4"), ("openai", "whisper-1")] == [
        (card.service, card.model) for card in imported.cards
    ]
    assert {"seconds": 10_000, "input_tokens": 0, "output_tokens": 0} == prices_of(imported, "openai", "whisper-1")
    assert Decimal("7.5") == prices_of(imported, "groq", "openai/gpt-oss-20b")["input_tokens"]
    assert [200_000, 272_000] == [card.tiers[0].over for card in imported.cards[:2]]


def test_models_dev_says_what_it_did_not_take_and_why():
    """A file that is not TOML spoils no other."""
    broken, by_the_hour, no_cost = skipped(import_models_dev(MODELS_DEV))
    assert broken.startswith("groq/broken: not a model's TOML: Illegal character")
    assert by_the_hour.startswith("groq/by-the-hour: not a model's TOML: a tier by")
    assert "groq/no-cost: there is no price for it" == no_cost


def test_models_dev_is_read_from_one_file():
    """Named as in the folder that it is in."""
    [card] = import_models_dev(MODELS_DEV / "providers/openai/models/gpt-5.4.toml").cards
    assert ("openai", "gpt-5.4") == (card.service, card.model)


@pytest.mark.parametrize(
    ("read", "path"), [(import_litellm, LITELLM), (import_genai_prices, GENAI), (import_models_dev, MODELS_DEV)]
)
def test_an_import_can_be_written_and_loaded_again(read, path):
    """As the file that a person reads before it is used; and all cards fit into one book."""
    cards = read(path).cards
    assert cards == parse_cards(render_cards(cards), "imported.toml")
    assert len(cards) == len(RateBook(cards))


@pytest.mark.parametrize(
    ("read", "path", "entries"),
    [(import_litellm, LITELLM, 10), (import_genai_prices, GENAI, 8), (import_models_dev, MODELS_DEV, 6)],
)
def test_progress_is_told_after_each_entry(read, path, entries):
    """For a bar: how many are done, of how many."""
    told = []
    read(path, progress=lambda done, total: told.append((done, total)))
    assert [(done, entries) for done in range(1, entries + 1)] == told


@pytest.mark.parametrize("read", [import_litellm, import_genai_prices, import_models_dev])
@pytest.mark.parametrize("content", [b"\xff", b"{", b"7", b'[{"id": 5}, 5]', b'{"m": 5}'])
def test_a_file_of_another_kind_is_refused_or_reported(read, content, tmp_path):
    """Whatever it is: an error with file and line, or nothing taken and a report; never half a price."""
    path = tmp_path / "prices"
    path.write_bytes(content)
    try:
        imported = read(path)
    except RateFileError as error:
        [problem] = error.problems
    else:
        problem = Problem(str(path), 1, "")
        assert ((), 1) == (imported.cards, len(imported.skipped))
    assert (str(path), 1) == (problem.file, problem.line)


@pytest.mark.parametrize("price", ["1e999999999", "NaN", "-1", '"1"', "true", "null", "[]", "1e-30"])
def test_a_number_that_is_no_price_is_not_taken(price, tmp_path):
    """Not a number, negative, too small or huge: there is no card, and memory is not filled by an exponent."""
    path = tmp_path / "prices.json"
    path.write_text(f'{{"m": {{"litellm_provider": "p", "input_cost_per_token": {price}}}}}')
    imported = import_litellm(path)
    assert () == imported.cards
    assert {"m"} == {name for name, _ in imported.skipped}
