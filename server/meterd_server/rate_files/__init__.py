"""Files of prices: those that people write, and those of other projects that are imported into such a file."""

from meterd_server.rate_files.importing import Imported, Skipped
from meterd_server.rate_files.price_text import format_price
from meterd_server.rate_files.problems import Problem, RateFileError
from meterd_server.rate_files.toml_cards import SEED, load_cards, parse_cards
from meterd_server.rate_files.toml_render import render_cards

__all__ = [
    "SEED",
    "Imported",
    "Problem",
    "RateFileError",
    "Skipped",
    "format_price",
    "load_cards",
    "parse_cards",
    "render_cards",
]
