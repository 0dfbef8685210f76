"""The ledger's end of the way to one worker: carries out what the worker asks for."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from meterd_server.errors import Overloaded, StoreUnavailable
from meterd_server.pricing import card_from_json, card_to_json
from meterd_server.workers.frames import pack_account, pack_entry, pack_error, pack_outcomes, unpack_commands
from meterd_server.workers.link import ToLedger, ToWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from meterd_server.ledger import Ledger
    from meterd_server.model import Command, Outcome
    from meterd_server.prices import CardStore
    from meterd_server.workers.frames import PackedCommands
    from meterd_server.workers.link import Frame

log = logging.getLogger(__name__)


class LedgerEnd:
    """Takes the frames of one worker's `RemoteLedger` to the ledger, and the answers back over `send`.

    A worker that is gone does not stop what it began: `send` then leads nowhere.
    """

    def __init__(self, ledger: Ledger, cards: CardStore, send: Callable[[Frame], None]) -> None:
        self._ledger = ledger
        self._cards = cards
        self._send = send
        self._reads: set[asyncio.Task[None]] = set()

    def take(self, frame: Frame) -> None:
        """Carry out what a worker asks for."""
        match frame:
            case (ToLedger.COMMIT, number, packed):
                self._commit(number, packed)
            case (ToLedger.ACCOUNTS, number, user_ids):
                self._read(number, self._accounts(user_ids))
            case (ToLedger.ENTRIES, number, user_id, options):
                self._read(number, self._entries(user_id, options))
            case (ToLedger.USERS, number, after, limit):
                self._read(number, self._users(after, limit))
            case (ToLedger.CARDS, number):
                self._read(number, self._rate_cards())
            case (ToLedger.CARD_COUNT, number):
                self._read(number, self._cards.rate_card_count())
            case (ToLedger.ADD_CARDS, number, texts):
                self._read(number, self._cards.add_rate_cards([*map(card_from_json, texts)]))
            case _:
                raise ValueError(f"no frame of a worker: kind {frame[0]}")

    def _commit(self, number: int, packed: PackedCommands) -> None:
        commands = unpack_commands(packed)
        try:
            answer = self._ledger.submit_all(commands)
        except (Overloaded, StoreUnavailable) as error:
            self._refuse(number, error)
            return
        if answer.done():
            self._committed(number, commands, answer)
        else:
            answer.add_done_callback(partial(self._committed, number, commands))

    def _committed(self, number: int, commands: Sequence[Command], answer: asyncio.Future[Sequence[Outcome]]) -> None:
        try:
            outcomes = answer.result()
        except (Exception, asyncio.CancelledError) as error:
            self._refuse(number, error)
        else:
            self._send((ToWorker.ANSWER, number, None, pack_outcomes(commands, outcomes)))

    def _read(self, number: int, reading: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(self._answer(number, reading))
        self._reads.add(task)
        task.add_done_callback(self._reads.discard)

    async def _answer(self, number: int, reading: Coroutine[Any, Any, Any]) -> None:
        try:
            rows = await reading
        except (Exception, asyncio.CancelledError) as error:
            # Whatever it is, and whoever cancelled what, the worker's callers must not wait for ever.
            self._refuse(number, error)
        else:
            self._send((ToWorker.ANSWER, number, None, rows))

    async def _accounts(self, user_ids: Sequence[str]) -> list[tuple[Any, ...]]:
        return [pack_account(await self._ledger.account(user_id)) for user_id in user_ids]

    async def _users(self, after: str | None, limit: int) -> list[tuple[Any, ...]]:
        return [pack_account(account) for account in await self._ledger.users(after, limit)]

    async def _rate_cards(self) -> list[str]:
        return [card_to_json(card) for card in await self._cards.rate_cards()]

    async def _entries(self, user_id: str, options: dict[str, Any]) -> list[tuple[Any, ...]]:
        return [pack_entry(entry) for entry in await self._ledger.entries(user_id, **options)]

    def _refuse(self, number: int, error: BaseException) -> None:
        name = pack_error(error)
        if not name:
            log.error("unexpected error for a worker", exc_info=error)
        self._send((ToWorker.ANSWER, number, name, None))
