"""The ledger as a worker sees it: the same methods, carried out by the ledger's process."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from meterd_server.company import GATHER_STEP_SECONDS, Company
from meterd_server.errors import Overloaded, StoreUnavailable
from meterd_server.lane import BATCH_OPERATIONS_MAX, Waiter, tell_all
from meterd_server.model import together
from meterd_server.pricing import card_from_json, card_to_json
from meterd_server.workers.frames import (
    pack_commands,
    unpack_account,
    unpack_entry,
    unpack_error,
    unpack_outcomes,
)
from meterd_server.workers.link import ToLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from meterd_server.model import Account, Command, Entry, Outcome
    from meterd_server.pricing import RateCard
    from meterd_server.workers.frames import PackedOutcomes
    from meterd_server.workers.link import Frame

    Read = Callable[[Any], None]
    """Takes what an answer holds to those who wait for it."""


class RemoteLedger:
    """`Ledger`, over `send`.

    What is asked for while the event loop turns once goes in one frame. When there are many callers, changes wait for each other
    up to `window_seconds`, as in a `Lane`.

    At most `unanswered_max` operations are on their way, and one caller's more: beyond it is `Overloaded`. The ledger's process
    has a bound of its own, and says so after the command was sent: then the future raises it.
    """

    def __init__(self, send: Callable[[Frame], None], *, unanswered_max: int, window_seconds: float) -> None:
        self._send = send
        self._unanswered_max = unanswered_max
        self._window_seconds = window_seconds
        self._loop = asyncio.get_running_loop()
        self._numbers = count(1)
        self._waiters: list[Waiter] = []
        self._waiting_operations = 0
        self._lookups: list[tuple[str, asyncio.Future[Account]]] = []
        self._sent: dict[int, tuple[int, Sequence[asyncio.Future[Any]], Read]] = {}
        self._committing: set[int] = set()
        self._unanswered = 0
        self._company = Company()
        self._stopping = False
        self._all_answered = asyncio.Event()
        self._all_answered.set()

    def submit(self, command: Command) -> asyncio.Future[Outcome]:
        """See `Ledger.submit`. Once it is sent, a command is carried through."""
        return self._put((command,), alone=True)

    def submit_all(self, commands: Sequence[Command]) -> asyncio.Future[Sequence[Outcome]]:
        """See `Ledger.submit_all`."""
        return self._put(commands, alone=False)

    def is_full(self) -> bool:
        """See `Ledger.is_full`."""
        return self._unanswered >= self._unanswered_max

    async def account(self, user_id: str) -> Account:
        """See `Ledger.account`: it is the ledger's process that looks, after this was called."""
        self._take(1)
        answer: asyncio.Future[Account] = self._loop.create_future()
        if not self._lookups:
            self._loop.call_soon(self._look_up)
        self._lookups.append((user_id, answer))
        return await answer

    async def entries(
        self, user_id: str, *, after_version: int, before_version: int, newest_first: bool, limit: int
    ) -> list[Entry]:
        """See `Ledger.entries`."""
        self._take(1)
        answer: asyncio.Future[list[Entry]] = self._loop.create_future()
        options = {
            "after_version": after_version,
            "before_version": before_version,
            "newest_first": newest_first,
            "limit": limit,
        }
        self._ask(1, [answer], partial(_read_entries, answer), ToLedger.ENTRIES, user_id, options)
        return await answer

    async def users(self, after: str | None, limit: int) -> list[Account]:
        """See `Ledger.users`."""
        return [*map(unpack_account, await self._asked(ToLedger.USERS, after, limit))]

    async def rate_cards(self) -> list[RateCard]:
        """See `Store.rate_cards`."""
        return [*map(card_from_json, await self._asked(ToLedger.CARDS))]

    async def rate_card_count(self) -> int:
        """See `Store.rate_card_count`."""
        count: int = await self._asked(ToLedger.CARD_COUNT)
        return count

    async def add_rate_cards(self, cards: Sequence[RateCard]) -> bool:
        """See `Store.add_rate_cards`."""
        were_free: bool = await self._asked(ToLedger.ADD_CARDS, [*map(card_to_json, cards)])
        return were_free

    async def _asked(self, *frame: Any) -> Any:  # noqa: ANN401 -- what it is, was asked
        self._take(1)
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._ask(1, [answer], partial(_read_answer, answer), *frame)
        return await answer

    async def stop(self) -> None:
        """See `Ledger.stop`."""
        self._stopping = True
        self._send_waiting()
        self._look_up()
        await self._all_answered.wait()

    def answered(self, number: int, error: str | None, body: Any) -> None:  # noqa: ANN401 -- what it is, was asked
        """Take an answer of the ledger's process to those who wait for it."""
        operations, answers, read = self._sent.pop(number)
        self._committing.discard(number)
        self._unanswered -= operations
        if not self._sent:
            self._all_answered.set()
        if error is None:
            read(body)
            return
        for answer in answers:
            if not answer.done():
                answer.set_exception(unpack_error(error))

    def _put(self, commands: Sequence[Command], *, alone: bool) -> asyncio.Future[Any]:
        self._take(len(commands))
        waiter = Waiter(commands, self._loop.create_future(), alone)
        if not self._waiters:
            self._loop.call_soon(self._gather, 0, self._loop.time() + self._window_seconds)
        self._waiters.append(waiter)
        self._waiting_operations += len(commands)
        return waiter.answer

    def _take(self, operations: int) -> None:
        """Count operations in. Raises `StoreUnavailable` or `Overloaded`."""
        if self._stopping:
            raise StoreUnavailable("stopping")
        if self._unanswered >= self._unanswered_max:
            raise Overloaded
        self._unanswered += operations

    def _gather(self, before: int, ends_seconds: float) -> None:
        """Send what waits, unless many are expected and more may come.

        They may while those sent before are not answered, and when some have come since there were as many as `before`.
        """
        now = self._loop.time()
        if (
            now < min(self._company.until_seconds, ends_seconds)
            and (before < len(self._waiters) or self._committing)
            and self._waiting_operations < BATCH_OPERATIONS_MAX
            and not self._stopping
        ):
            step_seconds = min(GATHER_STEP_SECONDS, self._window_seconds)
            self._loop.call_later(step_seconds, self._gather, len(self._waiters), ends_seconds)
            return
        self._company.learn_from(len(self._waiters), others_wait=bool(self._committing))
        self._send_waiting()

    def _send_waiting(self) -> None:
        waiters, self._waiters, self._waiting_operations = self._waiters, [], 0
        part: list[Waiter] = []
        operations = 0
        for waiter in waiters:
            part.append(waiter)
            operations += len(waiter.commands)
            if operations >= BATCH_OPERATIONS_MAX:
                self._send_commands(part, operations)
                part, operations = [], 0
        if part:
            self._send_commands(part, operations)

    def _look_up(self) -> None:
        lookups, self._lookups = self._lookups, []
        if not lookups:
            return
        answers = [answer for _, answer in lookups]
        users = [user_id for user_id, _ in lookups]
        self._ask(len(users), answers, partial(_read_accounts, answers), ToLedger.ACCOUNTS, users)

    def _send_commands(self, waiters: list[Waiter], operations: int) -> None:
        kept = [waiter for waiter in waiters if not waiter.answer.done()]
        self._unanswered -= operations - sum(len(waiter.commands) for waiter in kept)
        if kept:
            commands = together([waiter.commands for waiter in kept])
            number = self._ask(
                len(commands),
                [waiter.answer for waiter in kept],
                partial(_read_outcomes, kept, commands),
                ToLedger.COMMIT,
                pack_commands(commands),
            )
            self._committing.add(number)

    def _ask(self, operations: int, answers: Sequence[asyncio.Future[Any]], read: Read, *frame: Any) -> int:  # noqa: ANN401
        number = next(self._numbers)
        self._sent[number] = (operations, answers, read)
        self._all_answered.clear()
        self._send((frame[0], number, *frame[1:]))
        return number


def _read_outcomes(waiters: Sequence[Waiter], commands: Sequence[Command], packed: PackedOutcomes) -> None:
    tell_all(waiters, unpack_outcomes(commands, packed))


def _read_accounts(answers: Sequence[asyncio.Future[Account]], rows: list[tuple[Any, ...]]) -> None:
    for answer, row in zip(answers, rows, strict=True):
        if not answer.done():
            answer.set_result(unpack_account(row))


def _read_answer(answer: asyncio.Future[Any], body: Any) -> None:  # noqa: ANN401 -- what it is, was asked
    if not answer.done():
        answer.set_result(body)


def _read_entries(answer: asyncio.Future[list[Entry]], rows: list[tuple[Any, ...]]) -> None:
    if not answer.done():
        answer.set_result([unpack_entry(row) for row in rows])
