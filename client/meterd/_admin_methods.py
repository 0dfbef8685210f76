"""The blocking client's methods for whoever runs the platform."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from meterd import _calls, _reservation_calls
from meterd._base import BaseClient
from meterd._calls import Call, PageT, ResultT
from meterd.types import Account, Balance, Recorded


class AdminMethods(BaseClient):
    """Says what accounts are allowed, looks into them, and undoes what was recorded by mistake."""

    def set_account_policy(
        self,
        user_id: str,
        *,
        credit_limit_microcents: int | None = None,
        unlimited: bool | None = None,
        frozen: bool | None = None,
        request_id: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Recorded:
        """Change what an account is allowed, whatever is in it; None leaves a part as it is. Exactly once per `request_id`.

        `credit_limit_microcents`, 0 to 2*10^17, is added to what is available; `unlimited` always allows, and costs are still
        recorded; `frozen` refuses everything new, and incurred costs are still recorded. A user without any entry is fine.

        Raises InvalidArgumentError when nothing is given, AmountOutOfRangeError, and what `record_cost` raises.
        """
        call = _reservation_calls.set_account_policy(
            user_id,
            credit_limit_microcents=credit_limit_microcents,
            unlimited=unlimited,
            frozen=frozen,
            request_id=request_id,
        )
        return self._run(call, timeout_seconds)

    def reverse_entry(
        self,
        user_id: str,
        version: int,
        amount_microcents: int | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Recorded:
        """Undo an entry by an opposite one that names it: a cost, a capture, or money that came in. Exactly once per `request_id`.

        None undoes all that is left of it; in parts it may be undone as often as is liked, never more than the entry. What a cost
        had taken from grants goes back to those that still stand, as far as their funding was not taken back, the rest to the money
        without expiry. `labels` say who and why.

        Raises EntryNotFoundError, EntryNotReversibleError (a reversal is not reversed), ReversalOverEntryError, and what
        `record_cost` raises.
        """
        call = _reservation_calls.reverse_entry(
            user_id, version, amount_microcents=amount_microcents, labels=labels, request_id=request_id
        )
        return self._run(call, timeout_seconds)

    def get_account(self, user_id: str, *, timeout_seconds: float | None = None) -> Account:
        """Return the account as it is now, with its grants; an unknown user has version 0 and no grants.

        Raises InvalidArgumentError for a malformed `user_id`.
        """
        return self._run(_calls.get_account(user_id), timeout_seconds)

    def list_balances(self, *, page_size: int = 1_000, timeout_seconds: float | None = None) -> Iterator[Balance]:
        """Iterate over the accounts of all users who have an entry, each as it is when its page is fetched, in no order to rely on.

        Who was there at the beginning is there once, whoever comes meanwhile. Pages of `page_size` accounts, 1 to 1,000, are
        fetched as needed; `timeout_seconds` is for each.
        """
        page_call = partial(_calls.list_balances, page_size=page_size)
        # The arguments are checked now, not when the first account is asked for.
        pages = self._pages(page_call, page_call(page_token=""), timeout_seconds)
        return (balance for page in pages for balance in page.balances)

    def _pages(
        self, page_call: Callable[..., Call[PageT]], call: Call[PageT], timeout_seconds: float | None
    ) -> Iterator[PageT]:
        """`call`'s page and all after it, each fetched when it is asked for by what `page_call` makes of its token."""
        while True:
            page = self._run(call, timeout_seconds)
            yield page
            if not page.next_page_token:
                return
            call = page_call(page_token=page.next_page_token)

    @abstractmethod
    def _run(self, call: Call[ResultT], timeout_seconds: float | None) -> ResultT: ...
