"""Prices from the TOML files of models.dev: `providers/PROVIDER/models/MODEL.toml`, US dollars per million tokens in `[cost]`.

Its format: https://github.com/anomalyco/models.dev, "Model Schema". The model is named by the file, folders included.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from meterd_server.rate_files.importing import Imported, Offer, Skipped, fraction, take_all
from meterd_server.rate_files.problems import Problem, RateFileError, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

METERS = {
    "input": ("input_tokens", 1_000_000),
    "output": ("output_tokens", 1_000_000),
    "reasoning": ("output_reasoning_tokens", 1_000_000),
    "cache_read": ("cache_read_tokens", 1_000_000),
    "cache_write": ("cache_write_tokens", 1_000_000),
    "input_audio": ("input_audio_tokens", 1_000_000),
    "output_audio": ("output_audio_tokens", 1_000_000),
    "per_minute": ("seconds", 60),
}
"""A key of a cost, the meter that it prices, and for how many units."""

_OVER_200K = "context_over_200k"


def import_models_dev(
    path: Path, *, effective_from_us: int = 0, progress: Callable[[int, int], None] | None = None
) -> Imported:
    """Return cards for one file, or for every model file in a folder. Raises `RateFileError` when there is none."""
    files = sorted(path.rglob("*.toml")) if path.is_dir() else [path]
    files = [file.resolve() for file in files if "models" in file.resolve().parts[:-1]]
    if not files:
        raise RateFileError([Problem(str(path), 1, "not a file, or a folder with files, PROVIDER/models/MODEL.toml")])
    return take_all(files, lambda file: _read(file, effective_from_us), progress)


def _read(file: Path, effective_from_us: int) -> Iterator[Offer | Skipped]:
    at = len(file.parts) - 1 - file.parts[::-1].index("models")
    provider, model = file.parts[at - 1], "/".join(file.parts[at + 1 :]).removesuffix(".toml")
    name = f"{provider}/{model}"
    try:
        cost = tomllib.loads(read_text(file), parse_float=Decimal).get("cost", {})
        usd, left_out = _prices(cost)
        tiers = {_size(tier): _prices(tier)[0] for tier in cost.get("tiers", [])}
        if _OVER_200K in cost:
            tiers.setdefault(200_000, _prices(cost[_OVER_200K])[0])
    except RateFileError as error:
        yield Skipped(name, str(error))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        yield Skipped(name, f"not a model's TOML: {error}")
    else:
        if left_out:
            yield Skipped(name, f"other units: {', '.join(left_out)}")
        yield Offer(name, provider, [model], usd, tiers, effective_from_us=effective_from_us, source="models.dev")


def _prices(cost: Mapping[str, object]) -> tuple[dict[str, Fraction], list[str]]:
    """The prices, and the names of others."""
    usd = {}
    left_out = []
    for key, value in cost.items():
        price = fraction(value)
        if key in METERS and price is not None:
            meter, count = METERS[key]
            usd[meter] = price / count
        elif key not in ("tiers", "tier", _OVER_200K):
            left_out.append(key)
    return usd, left_out


def _size(tier: Mapping[str, Mapping[str, object]]) -> int:
    size = tier["tier"]["size"]
    if tier["tier"].get("type", "context") != "context" or not isinstance(size, int):
        raise ValueError(f"a tier by {tier['tier']}")
    return size
