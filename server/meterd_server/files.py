"""Files that are there whole or not at all: written beside their place, and put into it in one step."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from meterd_server.errors import MeterdError

if TYPE_CHECKING:
    from collections.abc import Iterator


class InTheWayError(MeterdError):
    """Something is in the place where something else was to be. The text is one line that says what, and what to do."""


def must_be_free(file: Path, *, force: bool) -> None:
    """Raise `InTheWayError` if `file` is there, unless `force`; or if SQLite works on it, whatever is wanted."""
    if file.is_dir():
        raise InTheWayError(f"{file} is a folder; give a file")
    if file.exists() and not force:
        raise InTheWayError(f"{file} is there already; --force replaces it")
    if has_log(file):
        # SQLite would take the log for the new file's.
        raise InTheWayError(f"{file}-wal is there: the file is in use as a ledger; give another one")


def has_log(file: Path) -> bool:
    """Whether there is more of a SQLite file in the log beside it."""
    log = Path(f"{file}-wal")
    return log.exists() and log.stat().st_size > 0


@contextmanager
def written(file: Path) -> Iterator[Path]:
    """A new, empty file beside `file` that nobody else can read; gone afterwards, with all that SQLite puts beside it."""
    partial = file.with_name(f"{file.name}.partial")
    beside = [Path(f"{partial}{ending}") for ending in ("", "-wal", "-shm", "-journal", ".lock")]
    for each in beside:
        each.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield partial
    finally:
        for each in beside:
            each.unlink(missing_ok=True)


def put_in_place(partial: Path, file: Path) -> None:
    """Make what was written durable, and put it into its place."""
    _sync(partial)
    partial.replace(file)
    _sync(file.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
