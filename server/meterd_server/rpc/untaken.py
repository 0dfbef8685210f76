"""Answers that may be large and that nobody takes: how much of that there may be, over all calls of a server.

gRPC keeps an answer until its caller has room for it, for as long as the connection lasts. An answer is counted in the operations
or rows that it has, from before they are worked on until the call is over: that of a change cannot be refused any more when it is
made.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from meterd_server.errors import Overloaded
from meterd_server.rpc.operations import OPERATIONS_MAX
from meterd_server.rpc.paging import PAGE_SIZE_MAX, page_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meterd_server.rpc.handlers import Context

    Size = Callable[[Any], int]
    """How many operations or rows the answer to a request may have."""

OPERATIONS_SHARED = 50_000
"""From how many on, of all calls together, a connection that has some under way is refused more of them, and one that has none is
answered a call at a time: who takes what it asked for is served, whatever others hold."""

OPERATIONS_LIMIT = 200_000
"""How many there may be in all: about 100 MiB."""


def _operations(request: Any) -> int:  # noqa: ANN401 -- any message that has some
    return min(len(request.operations), OPERATIONS_MAX)


def _rows(request: Any) -> int:  # noqa: ANN401 -- any message that says how many
    return page_size(request.page_size)


LARGE: Mapping[str, Size] = {
    "Batch": _operations,
    "ListEntries": _rows,
    "ListBalances": _rows,
    "ListRateCards": _rows,
    "PutRateCard": lambda request: min(len(request.rate_cards), PAGE_SIZE_MAX),
}
"""The unary methods with answers that may be large. Those of the others are smaller than what gRPC itself keeps of a call."""


class Untaken:
    """What is under way or not taken of the `LARGE` calls of one server."""

    def __init__(self) -> None:
        self._by_connection: Counter[str] = Counter()

    @property
    def operations(self) -> int:
        """How many operations and rows there are."""
        return self._by_connection.total()

    def is_full_for(self, connection: str) -> bool:
        """Whether a connection would be refused whatever it asked for: what it asks is then not worth reading."""
        operations = self.operations
        return operations >= OPERATIONS_LIMIT or (operations >= OPERATIONS_SHARED and connection in self._by_connection)

    def count(self, context: Context, operations: int) -> None:
        """Count a call's until it is over, taken or not. Raises `Overloaded` if that is too much."""
        connection = context.peer()
        if self.is_full_for(connection) or self.operations + operations > OPERATIONS_LIMIT:
            raise Overloaded
        self._by_connection[connection] += operations

        def over(_: object) -> None:
            self._by_connection[connection] -= operations
            if not self._by_connection[connection]:
                del self._by_connection[connection]

        context.add_done_callback(over)
