"""What the demo's three services cost. Every price is in microcents (10^-8 US dollar) per unit."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Service:
    """A metered service: its name, what provides it, and its price per unit of each meter, in microcents."""

    name: str
    provider: str
    prices_microcents: Mapping[str, int]

    def cost_microcents(self, quantities: Mapping[str, int]) -> int:
        """Return the exact price of `quantities`, given by meter."""
        return sum(self.prices_microcents[meter] * quantity for meter, quantity in quantities.items())


CHAT = Service("chat", "Mistral, mistral-large-latest", {"input_tokens": 200, "output_tokens": 600})
SPEECH = Service("speech", "AWS Polly, standard voice", {"characters": 400})
SCAN = Service("scan", "AWS Textract, detect text", {"pages": 150_000})

SERVICES = {service.name: service for service in (CHAT, SPEECH, SCAN)}
