"""A running daemon looks at its own accounts, a few at a time and over and over: whether each follows from its entries."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from meterd_server.audit.checks import AccountAudit
from meterd_server.audit.difference import Difference, DifferenceError
from meterd_server.errors import StoreUnavailable
from meterd_server.store.reading import page_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterd_server.model import Account
    from meterd_server.store import Store

log = logging.getLogger(__name__)

ENTRIES_A_STEP = 256
"""How many entries a step takes about: a few milliseconds."""

_USERS_A_PAGE = 32

_READ_ENTRIES = 4
"""What a read costs, in entries."""

_RESTS = 200
"""How many times as long as a step took it rests afterwards: half a percent of a core."""

_REST_SECONDS_MIN = 0.2
_ROUND_SECONDS_MIN = 10.0
"""A ledger that is looked through sooner than this is not looked at again before."""


_DAMAGE = (ValueError, LookupError, TypeError, AttributeError)
"""What comes of reading, or of taking in, a row that was damaged. A store may say that it is unavailable because of one."""


class DriftWatch:
    """Re-derives every account of `store` from its entries, round after round; `on_drift` is called when the first one differs.

    It remembers nothing of entries: see `AccountAudit`, not `thorough`.
    """

    def __init__(self, store: Store, on_drift: Callable[[], None]) -> None:
        self._store = store
        self._on_drift = on_drift
        self._after: str | None = None
        self._waiting: deque[Account] = deque()
        self._account: Account | None = None
        self._audit = AccountAudit("")
        self._was_told = False
        self._failure = ""
        self.drift: Difference | None = None
        """The first difference that was found since the start."""

    async def run(self) -> None:
        """Go on for ever, and rest in between."""
        while True:
            started = time.monotonic()
            try:
                rest_seconds = _REST_SECONDS_MIN if await self.step() else _ROUND_SECONDS_MIN
            except StoreUnavailable as error:
                rest_seconds = _ROUND_SECONDS_MIN
                if str(error) != self._failure:
                    self._failure = str(error)
                    log.warning("accounts cannot be looked at for drift: %s", error)
            await asyncio.sleep(max(rest_seconds, _RESTS * (time.monotonic() - started)))

    async def step(self) -> bool:
        """Re-derive about `ENTRIES_A_STEP` entries more; False when the last account of a round is done.

        Raises `StoreUnavailable`; the account that was under way is then begun anew. What is there but cannot be understood is a
        difference; if it is an account, those after it are not come to.
        """
        left = ENTRIES_A_STEP
        try:
            while left > 0:
                if self._account is None and not await self._next():
                    return False
                left -= _READ_ENTRIES + await self._go_on(left)
        except (StoreUnavailable, *_DAMAGE) as error:
            account, at = self._account, self._audit.account.version
            if not _is_damage(error):
                self._begin(account)
                raise
            whose, version = (account.user_id, at + 1) if account else ("", 0)
            what = "the entries from that one on" if account else f"the accounts after {self._after!r}"
            self._tell(Difference(whose, version, what, "readable", str(error)))
            self._account = None
            if account is None:
                self._end_round()
                return False
        return True

    async def _next(self) -> bool:
        """Turn to the next account; False, and the round is over, if there is none."""
        if not self._waiting:
            self._waiting.extend(await self._store.users(self._after, _USERS_A_PAGE))
            if not self._waiting:
                self._end_round()
                return False
            self._after = self._waiting[-1].user_id
        self._begin(self._waiting.popleft())
        return True

    def _end_round(self) -> None:
        self._after, self._was_told = None, False

    def _begin(self, account: Account | None) -> None:
        self._account = account
        self._audit = AccountAudit(account.user_id if account else "", thorough=False)

    async def _go_on(self, limit: int) -> int:
        """Take in up to so many entries of the account, and compare at the end; how many there were."""
        account, audit = self._account, self._audit
        if account is None:
            return 0
        entries = await page_of(self._store, account.user_id, audit.account.version, account.version + 1, limit)
        try:
            for entry in entries:
                audit.take(entry)
            audit.reservations.finished.clear()
            if not entries or audit.account.version >= account.version:
                self._account = None
                audit.compare(account)
        except DifferenceError as error:
            self._account = None
            self._tell(error.difference)
        return len(entries)

    def _tell(self, difference: Difference) -> None:
        """Once a round, so that one fault in a hundred thousand accounts is one line."""
        if not self._was_told:
            self._was_told = True
            log.error("an account does not follow from its entries: %s", difference)
        if self.drift is None:
            self.drift = difference
            self._on_drift()


def _is_damage(error: Exception) -> bool:
    cause = error.__cause__ if isinstance(error, StoreUnavailable) else error
    return isinstance(cause, _DAMAGE)
