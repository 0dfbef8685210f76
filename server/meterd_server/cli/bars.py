"""Progress bars, where somebody can see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self


class Bars:
    """Progress bars on stderr, if that is a terminal; else nothing is shown. A context manager."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        target = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._progress = Progress(*columns, console=target, disable=not target.is_terminal, transient=True)

    def bar(self, what: str, total: int | None) -> Callable[[int], None]:
        """A new bar; call what is returned with how much is done since the last call. None: it is not known how much there is."""
        task = self._progress.add_task(what, total=total)
        return lambda done: self._progress.advance(task, done)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
