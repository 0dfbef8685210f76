"""One daemon a file: an exclusive lock beside the database, held until the process ends however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from meterd_server.errors import StartupError


class LockedError(StartupError):
    """Another process holds the lock; `holder` is its id, as far as it is known."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is held by another meterd (process {holder}); stop it or give --db another file")
        self.holder = holder


class LockFile:
    """The lock file PATH.lock, holding the owner's process id. `flock` is released by the kernel, so a crash leaves no trace."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = Path(f"{database}.lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, making the folder if need be. Raises `LockedError`, `StartupError` or `OSError`."""
        if self._database.is_dir():
            raise StartupError(f"{self._database} is a folder; --db names a file")
        self._database.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise LockedError(self._path, holder) from None
        # Who spends what is nobody else's business: SQLite gives the database's permissions to its logs as well.
        os.close(os.open(self._database, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of the lock. The file stays: removing it would let two daemons lock two files of one name."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
