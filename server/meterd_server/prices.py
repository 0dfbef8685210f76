"""The prices in force: the book of rate cards that the store keeps, in memory, and how it grows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meterd_server.pricing import CardError, RateBook

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from meterd_server.pricing import RateCard
    from meterd_server.store import Store


class Prices:
    """What usage costs. `clock_us` says what is now for usage that does not say when it happened."""

    def __init__(self, store: Store, *, clock_us: Callable[[], int]) -> None:
        self._store = store
        self._adding = asyncio.Lock()
        self.clock_us = clock_us
        self.book = RateBook()

    async def load(self) -> None:
        """Take in what the store keeps: at the start, and whenever another daemon may have added cards."""
        cards = await self._store.rate_cards()
        if len(cards) != len(self.book):
            self.book = RateBook(cards)

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
