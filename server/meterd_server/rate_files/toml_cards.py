"""Rate cards as people write them, in TOML.

```toml
source = "https://mistral.ai/pricing, read on 2 November 2026"   # of every card that does not say its own

[[card]]
service = "mistral"
model = "mistral-large-latest"   # or a pattern "mistral-large-*", or a list; left out: all other models of the service
effective = 2026-01-01           # from midnight UTC, or 2026-01-01T12:00:00Z; left out: since ever
prices.input_tokens = "2.00 USD per 1_000_000"
prices.output_tokens = "6.00 USD per 1_000_000"

[[card]]
service = "anthropic"
model = ["claude-sonnet-4-5", "claude-sonnet-4-5-*"]
per_call = "0.001 USD"           # what a call costs on top of its units
minimum = "1 cent"               # what a call costs at least

[card.prices]                    # the same as prices.input_tokens = ...
input_tokens = "3.00 USD per 1_000_000"
cache_read_tokens = "0.30 USD per 1_000_000"
output_tokens = "1500 microcents"

[[card.tier]]                    # replaces prices for the whole of a call that is larger
over = "200_000 input_tokens + cache_read_tokens"
prices.input_tokens = "6.00 USD per 1_000_000"
prices.output_tokens = "22.50 USD per 1_000_000"
```

A price is a number, a unit (USD, cents, microcents or picocents) and, if it is for several, `per` how many; or `free`. It must
come to a whole number of picocents a unit. Cards for the same service and model are its versions by date.
"""

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from meterd_server.pricing import CardError, RateCard, Tier, check_price
from meterd_server.rate_files.price_text import PriceError, parse_price
from meterd_server.rate_files.problems import Problem, RateFileError, did_you_mean, read_text
from meterd_server.rate_files.toml_lines import Path as TomlPath
from meterd_server.rate_files.toml_lines import line_of, lines_by_path

SEED = Path(__file__).parent / "seed.toml"
"""The cards that come with the daemon."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_FILE_KEYS = ("source", "card")
_CARD_KEYS = ("service", "model", "effective", "source", "per_call", "minimum", "prices", "tier")
_TIER_KEYS = ("over", "prices")
_OVER = re.compile(r"([0-9][0-9_]{0,18}) +([a-z0-9_]+(?: *\+ *[a-z0-9_]+)*)", re.ASCII)
_SYNTAX = re.compile(r"(?P<reason>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL)


def load_cards(path: Path) -> tuple[RateCard, ...]:
    """Return the cards of a file, in its order, without version numbers. Raises `RateFileError` with all that is wrong."""
    return parse_cards(read_text(path), str(path))


def parse_cards(text: str, file: str) -> tuple[RateCard, ...]:
    """Return the cards of a text, as `load_cards`; `file` is what problems call it."""
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except ValueError as error:
        match = _SYNTAX.fullmatch(str(error))
        line = int(match["line"] or text.count("\n") + 1) if match else 1
        raise RateFileError([Problem(file, line, f"not TOML: {match['reason'] if match else error}")]) from None
    reader = _Reader()
    cards = reader.document(document)
    if reader.problems:
        lines = lines_by_path(text)
        raise RateFileError(Problem(file, line_of(lines, path), reason) for path, reason in reader.problems)
    return cards


class _Reader:
    """Reads a document as far as it goes, and collects what is wrong with it, by path."""

    def __init__(self) -> None:
        self.problems: list[tuple[TomlPath, str]] = []

    def document(self, document: Mapping[str, object]) -> tuple[RateCard, ...]:
        self._check_keys((), document, _FILE_KEYS)
        source = self._text((), document, "source")
        found: list[tuple[TomlPath, RateCard]] = []
        tables = self._tables((), document, "card")
        if not tables and not self.problems:
            self.problems.append(((), "there is no [[card]]"))
        for path, table in tables:
            found += [(path, card) for card in self._cards(path, table, source)]
        self._check_dates(found)
        return tuple(card for _, card in found)

    def _cards(self, path: TomlPath, table: Mapping[str, object], source: str) -> list[RateCard]:
        """The cards that one table makes, one for each of its models."""
        problems_before = len(self.problems)
        self._check_keys(path, table, _CARD_KEYS)
        service = self._text(path, table, "service")
        if "service" not in table:
            self.problems.append((path, "the card has no service"))
        models = self._models(path, table)
        effective_from_us = self._effective_us(path, table)
        prices = self._prices(path, table)
        tiers = self._tiers(path, table)
        source = self._text(path, table, "source") or source
        per_call = self._price((*path, "per_call"), table.get("per_call", "free"))
        minimum = self._price((*path, "minimum"), table.get("minimum", "free"))
        if len(self.problems) > problems_before:
            return []
        try:
            return [
                RateCard(service, model, prices, effective_from_us, 0, source, per_call, minimum, tiers)
                for model in models
            ]
        except CardError as error:
            self.problems.append((path, str(error)))
            return []

    def _models(self, path: TomlPath, table: Mapping[str, object]) -> list[str]:
        if "model" not in table:
            return [""]
        value = table["model"]
        models = value if isinstance(value, list) else [value]
        names = [model for model in models if isinstance(model, str) and model]
        if not models or len(names) < len(models):
            self.problems.append(((*path, "model"), "model must be a name, a pattern with * or a list of them"))
        return names

    def _effective_us(self, path: TomlPath, table: Mapping[str, object]) -> int:
        value = table.get("effective", EPOCH)
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day, tzinfo=UTC)
        if not isinstance(value, datetime):
            reason = f"effective must be a date such as 2026-01-01, without quotes, not {_shown(value)}"
        elif value.tzinfo is None:
            reason = f"effective needs a time zone, as in {value.isoformat()}Z"
        elif value < EPOCH:
            reason = "effective must not be before 1970"
        else:
            return (value - EPOCH) // timedelta(microseconds=1)
        self.problems.append(((*path, "effective"), reason))
        return 0

    def _tiers(self, path: TomlPath, table: Mapping[str, object]) -> tuple[Tier, ...]:
        tiers = []
        for tier_path, tier in self._tables(path, table, "tier"):
            self._check_keys(tier_path, tier, _TIER_KEYS)
            prices = self._prices(tier_path, tier)
            over = tier.get("over")
            match = _OVER.fullmatch(over) if isinstance(over, str) else None
            if match is None:
                reason = "over must be a number and a meter, or a sum of meters, as in '200_000 input_tokens'"
                self.problems.append(((*tier_path, "over"), reason))
            elif prices:
                try:
                    tiers.append(Tier(int(match[1].replace("_", "")), tuple(re.split(r" *\+ *", match[2])), prices))
                except CardError as error:
                    self.problems.append((tier_path, str(error)))
        return tuple(tiers)

    def _prices(self, path: TomlPath, table: Mapping[str, object]) -> dict[str, int]:
        prices = table.get("prices")
        path = (*path, "prices")
        if not isinstance(prices, Mapping) or not prices:
            self.problems.append(
                (path, "there must be a price for each meter, as in prices.pages = '150 cents per 1000'")
            )
            return {}
        return {meter: self._price((*path, meter), price) for meter, price in prices.items()}

    def _price(self, path: TomlPath, price: object) -> int:
        try:
            if isinstance(price, str):
                picocents = parse_price(price)
                check_price(path[-1], picocents)
                return picocents
            self.problems.append((path, f"a price is a text with its unit, as in '2.00 USD', not {_shown(price)}"))
        except (PriceError, CardError) as error:
            self.problems.append((path, str(error)))
        return 0

    def _text(self, path: TomlPath, table: Mapping[str, object], key: str) -> str:
        value = table.get(key, "")
        if not isinstance(value, str):
            self.problems.append(((*path, key), f"{key} must be a text, not {_shown(value)}"))
            return ""
        return value

    def _tables(
        self, path: TomlPath, table: Mapping[str, object], key: str
    ) -> list[tuple[TomlPath, Mapping[str, object]]]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
            self.problems.append(((*path, key), f"write [[{'.'.join([*(str(p) for p in path if p == 'card'), key])}]]"))
            return []
        return [((*path, key, index), each) for index, each in enumerate(value)]

    def _check_keys(self, path: TomlPath, table: Mapping[str, object], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                self.problems.append(((*path, key), f"there is no key {key!r} here{did_you_mean(key, known)}"))

    def _check_dates(self, found: list[tuple[TomlPath, RateCard]]) -> None:
        """A service and model has one card a date: two would both be valid from then on."""
        first: set[tuple[str, str, int]] = set()
        for path, card in found:
            key = (card.service, card.model, card.effective_from_us)
            if key in first:
                self.problems.append((path, f"{card} is here twice with the same date: their dates overlap"))
            first.add(key)


def _shown(value: object) -> str:
    return str(value) if isinstance(value, Decimal) else repr(value)
