"""What gRPC leaves behind of each call: five objects that refer to each other, which only the collector can free.

Left to themselves they came to tens of thousands before the collector took its turn, which then held up every call for 20 to 70
ms on a slow machine. To have it come more often would have it walk through the thousands of objects of a batch as well. So it is
called here, while there is little to walk through: a tenth of a millisecond.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_CALLS = 128

_YOUNG, _MIDDLE = 0, 1

_MIDDLE_EVERY = 1_000
"""After so many times what was young before is looked through as well: what was under way at one of them may be left in it."""


class Leftovers:
    """Counts the calls of one process, and has `collect` free what they left."""

    def __init__(self, collect: Callable[[int], object] = gc.collect) -> None:
        self._collect = collect
        self._calls = 0

    def note_call(self) -> None:
        """Count a call that begins."""
        self._calls += 1
        if self._calls % EVERY_CALLS == 0:
            self._collect(_YOUNG if self._calls % (EVERY_CALLS * _MIDDLE_EVERY) else _MIDDLE)
