"""The services that the demo meters. What they cost is in the file of cards that comes with the daemon."""

from functools import cache
from typing import NamedTuple

from meterd_server.pricing import RateCard
from meterd_server.rate_files import SEED, load_cards


class Service(NamedTuple):
    """A metered service, and the model of it that is used."""

    name: str
    model: str


CHAT = Service("mistral", "mistral-large-latest")
SPEECH = Service("aws-polly", "standard")
SCAN = Service("aws-textract", "detect-text")


@cache
def cards() -> tuple[RateCard, ...]:
    """Return the cards of the file that the demo gives its daemon, as they are in it."""
    return load_cards(SEED)
