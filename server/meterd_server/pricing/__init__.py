"""Usage in, money out: rate cards, the book of their versions, and exact prices. Pure: no I/O, no clock.

A price is an `int` of picocents a unit (10^-12 cent, a millionth of a microcent), and so is the price of a usage. Only what an
account is charged is whole microcents: `charge` carries the rest over to the account's next usage, so that however a usage
is split into calls, the charges add up to the price of the sum.

```python
rating = book.rate("mistral", "mistral-large-latest", {"input_tokens": 1_200, "output_tokens": 300}, at_us)
if isinstance(rating, Rated):
    microcents, residue_picocents = charge(residue_picocents, rating.picocents)
```
"""

from meterd_server.pricing.book import OutOfRange, RateBook, Rated, Rating, Unrated
from meterd_server.pricing.cards import (
    MODEL_BYTES_MAX,
    PRICE_PICOCENTS_MAX,
    SERVICE_BYTES_MAX,
    SOURCE_BYTES_MAX,
    CardError,
    RateCard,
    Tier,
    check_price,
)
from meterd_server.pricing.charges import (
    OPERATION_PICOCENTS_MAX,
    PICOCENTS_PER_MICROCENT,
    QUANTITY_MAX,
    Charge,
    affordable_units,
    charge,
)
from meterd_server.pricing.codec import card_from_json, card_to_json

__all__ = [
    "MODEL_BYTES_MAX",
    "OPERATION_PICOCENTS_MAX",
    "PICOCENTS_PER_MICROCENT",
    "PRICE_PICOCENTS_MAX",
    "QUANTITY_MAX",
    "SERVICE_BYTES_MAX",
    "SOURCE_BYTES_MAX",
    "CardError",
    "Charge",
    "OutOfRange",
    "RateBook",
    "RateCard",
    "Rated",
    "Rating",
    "Tier",
    "Unrated",
    "affordable_units",
    "card_from_json",
    "card_to_json",
    "charge",
    "check_price",
]
