"""The prices in force: the book of rate cards that the store keeps, in memory, and how it grows."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from meterd_server.errors import StartupError, StoreUnavailable
from meterd_server.pricing import CardError, RateBook
from meterd_server.rate_files import RateFileError, load_cards

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from meterd_server.pricing import RateCard

FOLLOW_SECONDS = 1.0
"""How often a process that is not alone looks for rate cards that others have added."""


class CardStore(Protocol):
    """Where rate cards are kept: a `Store`, or the way to one."""

    async def rate_cards(self) -> list[RateCard]:
        """See `Store.rate_cards`."""

    async def rate_card_count(self) -> int:
        """See `Store.rate_card_count`."""

    async def add_rate_cards(self, cards: Sequence[RateCard]) -> bool:
        """See `Store.add_rate_cards`."""


class Prices:
    """What usage costs. `clock_us` says what is now for usage that does not say when it happened."""

    def __init__(self, store: CardStore, *, clock_us: Callable[[], int]) -> None:
        self._store = store
        self._adding = asyncio.Lock()
        self.clock_us = clock_us
        self.book = RateBook()

    async def load(self) -> None:
        """Take in what the store keeps: at the start, and whenever somebody else may have added cards."""
        if await self._store.rate_card_count() != len(self.book):
            self.book = RateBook(await self._store.rate_cards())

    async def load_file(self, path: Path) -> int:
        """Add the cards of a file; how many were not there before. Raises `StartupError` for what is wrong with them."""
        try:
            _, added = await self.add(load_cards(path))
        except RateFileError as error:
            raise StartupError(str(error)) from error
        except CardError as error:
            raise StartupError(f"{path}: {error}") from error
        return added

    async def follow(self) -> None:
        """Take in the cards that others add, for ever: one is in force here FOLLOW_SECONDS after it was added there."""
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            with suppress(StoreUnavailable):
                await self.load()

    async def add(self, cards: Sequence[RateCard], *, validate_only: bool = False) -> tuple[list[RateCard], int]:
        """Keep cards, all or none; the cards with their versions, and how many were not there before.

        Raises `CardError` for one that would change what earlier usage costs, `StoreUnavailable` when it is not known whether
        they are kept.
        """
        async with self._adding:
            while True:
                book = self.book.add(*cards)
                added = [card for card in book if card not in self.book.versions(card.service, card.model)]
                if validate_only or not added or await self._store.add_rate_cards(added):
                    break
                # Another daemon was first: what it added counts, and may make these cards a conflict.
                await self.load()
            if not validate_only:
                self.book = book
        return [_kept(book, card) for card in cards], len(added)


def _kept(book: RateBook, card: RateCard) -> RateCard:
    """The card as the book has it."""
    for kept in book.versions(card.service, card.model):
        if kept.effective_from_us == card.effective_from_us:
            return kept
    raise CardError(f"{card} was not taken")
