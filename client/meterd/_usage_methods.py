"""The blocking client's methods for usage and its prices."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from meterd import _pricing_calls
from meterd._base import BaseClient
from meterd._calls import Call, ResultT
from meterd._pricing_calls import usage
from meterd.pricing_types import Quote, RateCard, RateCardPage, RateCardsPut
from meterd.types import CheckResult, Recorded


class UsageMethods(BaseClient):
    """Says what was used, and lets the daemon say what it costs."""

    def record_usage(
        self,
        user_id: str,
        service: str,
        *,
        model: str = "",
        quantities: Mapping[str, int] | None = None,
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        reject_overdraft: bool = False,
        occur_time: datetime | None = None,
        timeout_seconds: float | None = None,
        **meters: int,
    ) -> Recorded:
        """Record what was used; the daemon charges what the rate card says, exactly once per `request_id`.

        Units are given by meter: `record_usage("ada", "mistral", model="mistral-large-latest", input_tokens=1200)`, or as
        `quantities`, such as `meterd.usage.from_openai(response.usage)`. No unit may be counted under two meters. The card is the
        one that was valid at `occur_time`, or is now. What is less than a microcent is carried to the user's next usage, so that
        however usage is split, the charges add up to the price of the sum. All else is as in `record_cost`.

        Raises UnknownRateError for a service, model or meter without a price (nothing is charged), and what `record_cost` raises.
        """
        call = _pricing_calls.record_usage(
            user_id,
            usage(service, model, quantities, meters),
            labels=labels,
            request_id=request_id,
            reject_overdraft=reject_overdraft,
            occur_time=occur_time,
        )
        return self._run(call, timeout_seconds)

    def check_usage(
        self,
        user_id: str,
        service: str,
        *,
        model: str = "",
        quantities: Mapping[str, int] | None = None,
        timeout_seconds: float | None = None,
        **meters: int,
    ) -> CheckResult:
        """Ask whether the user may afford a usage now, at best the most that a call may use. Meters are as in `record_usage`.

        It changes nothing and sets nothing aside, as `check`. Raises UnknownRateError for what has no price.
        """
        call = _pricing_calls.check_usage(user_id, usage(service, model, quantities, meters))
        return self._run(call, timeout_seconds)

    def quote(
        self,
        user_id: str,
        service: str,
        *,
        model: str = "",
        quantities: Mapping[str, int] | None = None,
        affordable: str = "",
        timeout_seconds: float | None = None,
        **meters: int,
    ) -> Quote:
        """Ask what a usage would cost the user now; with `user_id` "", what it costs anybody. Meters are as in `record_usage`.

        `affordable` names a meter of which to say how many units the user can afford on top: the cap for a chat's output, as in
        `quote("ada", "mistral", model=model, input_tokens=1200, affordable="output_tokens").affordable_units`.

        It changes nothing. Raises UnknownRateError for what has no price, AmountOutOfRangeError for more than 10^15 microcents.
        """
        call = _pricing_calls.quote(user_id, usage(service, model, quantities, meters), affordable)
        return self._run(call, timeout_seconds)

    def put_rate_cards(
        self, cards: Iterable[RateCard], *, validate_only: bool = False, timeout_seconds: float | None = None
    ) -> RateCardsPut:
        """Add up to 10,000 cards, all or none; they are kept when this returns.

        A card is never edited: one for the same service and model is its next version, and has to have a later date. One that is
        there already changes nothing, so that this may be repeated. With `validate_only` nothing is added: what is answered, or
        raised, is what would be.

        Raises RateCardConflictError for a card that would change what earlier usage costs, InvalidArgumentError naming the card
        that is malformed.
        """
        return self._run(_pricing_calls.put_rate_cards(cards, validate_only=validate_only), timeout_seconds)

    def list_rate_cards(
        self, service: str = "", *, page_size: int = 1_000, timeout_seconds: float | None = None
    ) -> Iterator[RateCard]:
        """Iterate over the cards of a service, or of all, by service, model and version: of all dates, past and to come.

        Pages of `page_size` cards, 1 to 1,000, are fetched as needed; `timeout_seconds` is for each.
        """
        # The arguments are checked now, not when the first card is asked for.
        first = _pricing_calls.list_rate_cards(service, page_size=page_size, page_token="")
        return self._rate_cards(first, service, page_size, timeout_seconds)

    def _rate_cards(
        self, call: Call[RateCardPage], service: str, page_size: int, timeout_seconds: float | None
    ) -> Iterator[RateCard]:
        while True:
            page = self._run(call, timeout_seconds)
            yield from page.rate_cards
            if not page.next_page_token:
                return
            call = _pricing_calls.list_rate_cards(service, page_size=page_size, page_token=page.next_page_token)

    @abstractmethod
    def _run(self, call: Call[ResultT], timeout_seconds: float | None) -> ResultT: ...
