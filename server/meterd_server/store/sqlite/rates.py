"""Rate cards in the file."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from meterd_server.pricing import card_from_json, card_to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meterd_server.pricing import RateCard


def read_cards(connection: sqlite3.Connection) -> list[RateCard]:
    """Every card that is kept."""
    return [card_from_json(text) for (text,) in connection.execute("SELECT card FROM rate_card")]


def count_cards(connection: sqlite3.Connection) -> int:
    """How many cards are kept."""
    count: int = connection.execute("SELECT count(*) FROM rate_card").fetchone()[0]
    return count


def add_cards(connection: sqlite3.Connection, cards: Sequence[RateCard]) -> bool:
    """Keep cards in one transaction; False, and none is kept, when a key is taken."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for card in cards:
            row = (card.service, card.model, card.version, card_to_json(card))
            connection.execute("INSERT INTO rate_card (service, model, version, card) VALUES (?, ?, ?, ?)", row)
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.IntegrityError):
            return False
        raise
    return True
