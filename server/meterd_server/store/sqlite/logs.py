"""The logs beside a database, before SQLite believes what it reads there."""

from __future__ import annotations

import os
from pathlib import Path

_CHUNK_BYTES = 2**20


def make_durable(database: Path) -> None:
    """Write again what the database's logs hold, and sync it. Raises `OSError`.

    After a sync that failed, the kernel may hold pages for clean that never reached the disk. A reader sees them as long as the
    power is on: so does SQLite, which takes the transactions in them for committed, and no later sync would save them. What is
    written again is the same as on the disk already, or is there from now on.
    """
    for log in (Path(f"{database}-wal"), Path(f"{database}-journal")):
        try:
            descriptor = os.open(log, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            _write_again(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_again(descriptor: int) -> None:
    offset = 0
    while chunk := os.pread(descriptor, _CHUNK_BYTES, offset):
        # Fewer than asked for were written: what is left is read and written in the next turn.
        offset += os.pwrite(descriptor, chunk, offset)
