"""Prices from genai-prices: its `data.json` or `data_slim.json`, or the package when it is installed (`meterd[prices]`).

Its format: https://github.com/pydantic/genai-prices, `prices/data.schema.json`. Prices are in US dollars; a model may have several
from dates on, and be known under more names than its id.
"""

from __future__ import annotations

import json
from dataclasses import is_dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from importlib import import_module
from typing import TYPE_CHECKING, Any

from meterd_server.rate_files.importing import Imported, Offer, Skipped, fraction, take_all
from meterd_server.rate_files.problems import Problem, RateFileError, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

METERS = {
    "input_mchars": ("characters", 1_000_000),
    "audio_hours": ("seconds", 3600),
    "input_audio_hours": ("seconds", 3600),
    "output_audio_hours": ("output_seconds", 3600),
    "input_document_kpages": ("pages", 1000),
    "web_searches_kcount": ("web_searches", 1000),
}
"""A price's key, the meter that it prices, and for how many units; X_mtok is X_tokens per million."""

_US_PER_DAY = 86_400_000_000


def import_genai_prices(
    path: Path | None = None, *, effective_from_us: int = 0, progress: Callable[[int, int], None] | None = None
) -> Imported:
    """Return cards for every provider and model, from its own dates on, but none from before `effective_from_us`.

    Without a path, the installed package's data are taken. Raises `RateFileError` when there is none, or it is not such a file.
    """
    providers = _read_package() if path is None else _read_json(path)
    models = [(provider, model) for provider in providers for model in provider.get("models", [])]

    def read(entry: tuple[dict[str, Any], dict[str, Any]]) -> Iterator[Offer | Skipped]:
        return _read(*entry, effective_from_us)

    return take_all(models, read, progress)


def _read_json(path: Path) -> list[dict[str, Any]]:
    try:
        providers = json.loads(read_text(path), parse_float=Decimal)
    except json.JSONDecodeError as error:
        raise RateFileError([Problem(str(path), error.lineno, f"not JSON: {error.msg}")]) from None
    if not isinstance(providers, list) or not all(isinstance(each, dict) and "id" in each for each in providers):
        raise RateFileError([Problem(str(path), 1, "not a list of providers")])
    return providers


def _read_package() -> list[dict[str, Any]]:
    try:
        providers = import_module("genai_prices.data").providers
    except ImportError:
        reason = "the package is not installed: pip install 'meterd[prices]', or name a data.json"
        raise RateFileError([Problem("genai-prices", 1, reason)]) from None
    return [_plain(provider) for provider in providers]


def _plain(value: Any) -> Any:  # noqa: ANN401 -- whatever the package has
    """The package's objects as its JSON has them."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if is_dataclass(value) or type(value).__name__ == "ModelPrice":
        return {
            key.rstrip("_"): _plain(each) for key, each in vars(value).items() if each is not None and key[0] != "_"
        }
    return value


def _read(provider: dict[str, Any], model: dict[str, Any], effective_from_us: int) -> Iterator[Offer | Skipped]:
    name = f"{provider['id']}/{model.get('id')}"
    try:
        names = list(dict.fromkeys([model["id"], *_patterns(model["match"])]))
        dated = _dated(model["prices"], effective_from_us)
        offers = [(since_us, *_prices(prices)) for since_us, prices in dated.items()]
    except (ValueError, TypeError, KeyError, AttributeError, StopIteration) as error:
        yield Skipped(name, f"not understood: {error}")
        return
    if model.get("price_variants"):
        yield Skipped(name, "other prices for other classes of service: price_variants")
    for since_us, usd, tiers, per_call_usd, left_out in offers:
        if left_out:
            yield Skipped(name, f"other units: {', '.join(left_out)}")
        yield Offer(name, provider["id"], names, usd, tiers, per_call_usd, since_us, "genai-prices")


def _dated(prices: Any, effective_from_us: int) -> dict[int, dict[str, Any]]:  # noqa: ANN401 -- from JSON
    """The prices by the time since when they are valid. The last one that is valid at a time is the one that counts."""
    if isinstance(prices, dict):
        return {effective_from_us: prices}
    dated: dict[int, dict[str, Any]] = {}
    for each in prices:
        constraint = each.get("constraint") or {}
        if constraint.keys() - {"start_date", "type"}:
            raise ValueError("the price depends on the hour")
        start = constraint.get("start_date", date(1970, 1, 1))
        start = date.fromisoformat(start) if isinstance(start, str) else start
        since_us = max((start - date(1970, 1, 1)).days * _US_PER_DAY, effective_from_us)
        dated = {earlier_us: earlier for earlier_us, earlier in dated.items() if earlier_us < since_us}
        dated[since_us] = each["prices"]
    return dated


def _prices(
    prices: dict[str, Any],
) -> tuple[dict[str, Fraction], dict[int, dict[str, Fraction]], Fraction, list[str]]:
    """The prices, those of each tier, the price of a call, and the names of other prices."""
    usd: dict[str, Fraction] = {}
    tiers: dict[int, dict[str, Fraction]] = {}
    per_call_usd = Fraction(0)
    left_out = []
    for key, value in prices.items():
        steps = value.get("tiers", []) if isinstance(value, dict) else []
        base = fraction(value["base"] if isinstance(value, dict) else value)
        if base is None:
            raise ValueError(f"the price of {key} is not a number")
        if key == "requests_kcount":
            per_call_usd = base / 1000
        elif key in METERS or key.endswith("_mtok"):
            meter, count = METERS.get(key, (f"{key.removesuffix('_mtok')}_tokens", 1_000_000))
            usd[meter] = base / count
            for step in steps:
                price = fraction(step["price"])
                if price is None:
                    raise ValueError(f"the price of {key} is not a number")
                tiers.setdefault(step["start"], {})[meter] = price / count
        else:
            left_out.append(key)
    return usd, tiers, per_call_usd, left_out


def _patterns(match: dict[str, Any]) -> Iterator[str]:
    """The patterns of a card that say the same as a match; other kinds of match say nothing here."""
    [(kind, value)] = match.items()
    if kind == "or":
        for each in value:
            yield from _patterns(each)
    elif kind in _PATTERNS:
        yield _PATTERNS[kind].format(value)


_PATTERNS = {"equals": "{}", "starts_with": "{}*", "ends_with": "*{}", "contains": "*{}*"}
