"""The service that says what usage costs, and keeps the cards that say so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd.v1 import pricing_pb2
from meterd_server import rules
from meterd_server.errors import Reason
from meterd_server.model import OPERATION_MICROCENTS_MAX, Check
from meterd_server.pricing import CardError, Unrated, affordable_units, charge
from meterd_server.rpc import encode, rate_cards, validate
from meterd_server.rpc.paging import make_token, page_size, read_token
from meterd_server.rpc.status import RequestError, make_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meterd_server.ledger import AnyLedger
    from meterd_server.model import Account
    from meterd_server.prices import Prices
    from meterd_server.pricing import RateCard

CARDS_MAX = 10_000


class PricingService:
    """meterd.v1.PricingService."""

    def __init__(self, ledger: AnyLedger, prices: Prices) -> None:
        self._ledger = ledger
        self._prices = prices

    async def Quote(self, request: pricing_pb2.QuoteRequest) -> pricing_pb2.QuoteResponse:  # noqa: N802 -- the contract's name
        """What a usage would cost, and how much more the user can afford."""
        if request.meter and not request.user_id:
            raise validate.refuse("meter", "needs a user_id")
        user_id = validate.user_id(request.user_id) if request.user_id else ""
        used = validate.usage(request.usage, "usage")
        priced, card = validate.priced(used, None, self._prices, "usage")
        response = pricing_pb2.QuoteResponse()
        encode.fill_rate_card_key(response.rate_card, priced.rate_card)
        if not user_id:
            response.cost_microcents = charge(0, priced.picocents).microcents
            return response
        account = await self._ledger.account(user_id)
        checked = rules.decide_check(account, Check(user_id, 0, priced.picocents))
        response.cost_microcents = charge(account.residue_picocents, priced.picocents).microcents
        response.allowed = checked.allowed
        response.available_microcents = account.available_microcents
        response.shortfall_microcents = checked.shortfall_microcents
        if request.meter:
            response.affordable_units = _affordable(card, dict(used.quantities), request.meter, account, used.model)
        return response

    async def PutRateCard(  # noqa: N802
        self, request: pricing_pb2.PutRateCardRequest
    ) -> pricing_pb2.PutRateCardResponse:
        """Add cards, all or none."""
        if not 0 < len(request.rate_cards) <= CARDS_MAX:
            raise validate.refuse("rate_cards", f"does not have 1 to {CARDS_MAX} cards")
        cards = [rate_cards.read(card, f"rate_cards[{place}]") for place, card in enumerate(request.rate_cards)]
        try:
            kept, added = await self._prices.add(cards, validate_only=request.validate_only)
        except CardError as error:
            raise RequestError(make_status(Reason.RATE_CARD_CONFLICT, str(error))) from error
        response = pricing_pb2.PutRateCardResponse(added_count=added)
        for card in kept:
            rate_cards.fill(response.rate_cards.add(), card)
        return response

    async def ListRateCards(  # noqa: N802
        self, request: pricing_pb2.ListRateCardsRequest
    ) -> pricing_pb2.ListRateCardsResponse:
        """One page of the cards."""
        size = page_size(request.page_size)
        first = 0
        if request.page_token:
            place = read_token(request.page_token, request.service, "rate cards")
            if place is None:
                raise validate.refuse("page_token", "was not made for this service")
            first = place
        cards = [card for card in self._prices.book if request.service in ("", card.service)]
        response = pricing_pb2.ListRateCardsResponse()
        for card in cards[first : first + size]:
            rate_cards.fill(response.rate_cards.add(), card)
        if first + size < len(cards):
            response.next_page_token = make_token(request.service, "rate cards", first + size)
        return response


def _affordable(card: RateCard, quantities: Mapping[str, int], meter: str, account: Account, model: str) -> int:
    policy = account.policy
    available = OPERATION_MICROCENTS_MAX if policy.unlimited else account.available_microcents
    try:
        units = affordable_units(card, quantities, meter, available, account.residue_picocents)
    except KeyError as error:
        raise validate.unknown_rate(Unrated(card.service, model, error.args[0])) from error
    return 0 if policy.frozen else units
