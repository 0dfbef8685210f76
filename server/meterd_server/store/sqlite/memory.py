"""The accounts in memory: which are ahead of their row, and which of the others to keep.

The event loop looks accounts up while the connection's thread changes them. Each step below is one dict operation, atomic under the
interpreter lock, and an account that moves is put in its new place before it leaves the old one: a look-up finds the newest
committed state or nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meterd_server.store.sqlite.rows import Held


class Accounts:
    """Accounts by user id. At most `clean_max` that equal their row, and every one that is ahead of it."""

    def __init__(self, clean_max: int) -> None:
        self._clean_max = clean_max
        self._clean: OrderedDict[str, Held] = OrderedDict()
        self._ahead: dict[str, Held] = {}
        # In the order in which they went ahead: the first holds back where a replay has to begin.
        self._ahead_since_entry_id: dict[str, int] = {}

    def get(self, user_id: str) -> Held | None:
        """The account if it is in memory."""
        return self._ahead.get(user_id) or self._clean.get(user_id)

    def get_each(self, user_ids: Iterable[str]) -> list[Held | None]:
        """As `get`, of many."""
        ahead, clean = self._ahead.get, self._clean.get
        return [ahead(user_id) or clean(user_id) for user_id in user_ids]

    def put_ahead(self, accounts: Mapping[str, Held], entry_id: int) -> None:
        """Take in accounts that entries from `entry_id` on put ahead of their rows."""
        self._ahead.update(accounts)
        since = self._ahead_since_entry_id
        since.update({user_id: entry_id for user_id in accounts if user_id not in since})
        if self._clean:
            for user_id in accounts.keys() & self._clean.keys():
                del self._clean[user_id]

    def put_clean(self, accounts: Mapping[str, Held]) -> None:
        """Take in accounts that equal their rows; the ones used longest ago make room."""
        for user_id, held in accounts.items():
            self._clean[user_id] = held
            self._clean.move_to_end(user_id)
            if self._ahead.pop(user_id, None):
                del self._ahead_since_entry_id[user_id]
        while len(self._clean) > self._clean_max:
            self._clean.popitem(last=False)

    def longest_ahead(self, count: int) -> list[str]:
        """The users, up to `count`, whose accounts have been ahead of their rows for longest."""
        return list(islice(self._ahead_since_entry_id, count))

    def first_entry_id_ahead(self, without: Iterable[str] = ()) -> int | None:
        """The first entry that some row lacks, if `without` were written; None if no row would lack any."""
        written = set(without)
        return next((since for user_id, since in self._ahead_since_entry_id.items() if user_id not in written), None)

    def __len__(self) -> int:
        return len(self._ahead) + len(self._clean)
