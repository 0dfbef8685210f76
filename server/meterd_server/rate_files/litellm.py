"""Prices from LiteLLM's `model_prices_and_context_window.json`, a map from model to fields in US dollars.

Its format: https://docs.litellm.ai/docs/provider_registration/add_model_pricing. A field's name says what it is the price of,
then maybe above how many input tokens, then maybe in which class of service; only the standard class is taken.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING

from meterd_server.rate_files.importing import Imported, Offer, Skipped, fraction, take_all
from meterd_server.rate_files.problems import Problem, RateFileError, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from fractions import Fraction
    from pathlib import Path

METERS = {
    "input_cost_per_token": "input_tokens",
    "output_cost_per_token": "output_tokens",
    "cache_read_input_token_cost": "cache_read_tokens",
    "cache_creation_input_token_cost": "cache_write_tokens",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h_tokens",
    "cache_creation_input_token_cost_above_12hr": "cache_write_12h_tokens",
    "output_cost_per_reasoning_token": "output_reasoning_tokens",
    "input_cost_per_audio_token": "input_audio_tokens",
    "output_cost_per_audio_token": "output_audio_tokens",
    "input_cost_per_image_token": "input_image_tokens",
    "output_cost_per_image_token": "output_image_tokens",
    "input_cost_per_character": "characters",
    "output_cost_per_character": "output_characters",
    "input_cost_per_second": "seconds",
    "output_cost_per_second": "output_seconds",
    "input_cost_per_image": "input_images",
    "output_cost_per_image": "images",
    "input_cost_per_query": "queries",
    "ocr_cost_per_page": "pages",
}
"""A field's name, without tier and class, and the meter that it prices."""

_UNKNOWABLE = {
    "tiered_pricing": "the price depends on a range of tokens",
    "off_peak_pricing": "the price depends on the hour",
}
_TIER = re.compile(r"(?P<field>\w+?)_above_(?P<thousands>\d{1,9})k_tokens")


def import_litellm(
    path: Path, *, effective_from_us: int = 0, progress: Callable[[int, int], None] | None = None
) -> Imported:
    """Return cards for every provider and model, valid from one date on. Raises `RateFileError` when it is not such a file."""
    try:
        entries = json.loads(read_text(path), parse_float=Decimal)
    except json.JSONDecodeError as error:
        raise RateFileError([Problem(str(path), error.lineno, f"not JSON: {error.msg}")]) from None
    if not isinstance(entries, dict):
        raise RateFileError([Problem(str(path), 1, "not a map from models to prices")])

    def read(entry: tuple[str, object]) -> Iterator[Offer | Skipped]:
        return _read(*entry, effective_from_us)

    return take_all([entry for entry in entries.items() if entry[0] != "sample_spec"], read, progress)


def _read(name: str, fields: object, effective_from_us: int) -> Iterator[Offer | Skipped]:
    provider = fields.get("litellm_provider") if isinstance(fields, dict) else None
    if not isinstance(fields, dict) or not isinstance(provider, str):
        yield Skipped(name, "it has no litellm_provider")
        return
    for field, reason in _UNKNOWABLE.items():
        if field in fields:
            yield Skipped(name, reason)
            return
    usd, tiers, left_out = _prices(fields)
    if left_out:
        yield Skipped(name, f"other units or classes of service: {', '.join(left_out)}")
    source = fields.get("source")
    yield Offer(
        name,
        provider,
        [name.removeprefix(f"{provider}/")],
        usd,
        tiers,
        effective_from_us=effective_from_us,
        source=f"LiteLLM: {source}" if isinstance(source, str) else "LiteLLM",
    )


def _prices(
    fields: Mapping[str, object],
) -> tuple[dict[str, Fraction], dict[int, dict[str, Fraction]], list[str]]:
    """The prices, those of each tier, and the names of the fields with other prices."""
    usd: dict[str, Fraction] = {}
    tiers: dict[int, dict[str, Fraction]] = {}
    left_out = []
    for field, value in fields.items():
        match = _TIER.fullmatch(field)
        meter = METERS.get(match["field"] if match else field)
        price = fraction(value)
        if meter is not None and price is not None:
            prices = tiers.setdefault(int(match["thousands"]) * 1000, {}) if match else usd
            prices[meter] = price
        elif "cost" in field and value is not None:
            left_out.append(field)
    return usd, tiers, left_out
