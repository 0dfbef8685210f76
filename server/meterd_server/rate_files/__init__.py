"""Files of prices, as people write them."""

from meterd_server.rate_files.problems import Problem, RateFileError
from meterd_server.rate_files.toml_cards import SEED, load_cards, parse_cards
from meterd_server.rate_files.toml_render import render_cards

__all__ = [
    "SEED",
    "Problem",
    "RateFileError",
    "load_cards",
    "parse_cards",
    "render_cards",
]
