"""`meterd serve` with a fault in its way to the disk: `python -m prove.faulty_daemon serve ...`, which nothing but proofs runs.

PROVE_FAULT names it as JSON: what fails ("write", "truncate", "sync" or "delete" of a file, which is "" for the database, "-wal" or
"-journal"), from which time on, how often, and how: "kill", "EIO", "ENOSPC" or "stall". That it happened is told by the file
PROVE_FIRED.
"""

import json
import os
import signal
import time
from pathlib import Path

from meterd_server import __main__ as program
from meterd_server.store import engines
from meterd_server.store.sqlite import SqliteStore, engine
from prove.disk_model import ERRORS
from prove.sqlite_vfs import FULL, OK, connect_to

CHECKPOINT_PAGES = 30
STALL_SECONDS = 0.3


class Fault:
    """A `Watcher` that fails where it was told to. Files of a running ledger are counted from the first write to its log on."""

    def __init__(self, what, file, number, times, how):
        self._at = (what, file)
        self._from = number
        self._until = number + times
        self._how = how
        self._count = 0
        self._has_begun = file == "-journal"

    def write(self, file, offset, data, go):
        """See `Watcher`: of a write that fails, the first half is done."""
        error = self._failing("write", file, lambda: go(data[: len(data) // 2]))
        return error or go(data)

    def truncate(self, file, size, go):
        """See `Watcher`."""
        return self._failing("truncate", file) or go()

    def sync(self, file, go):
        """See `Watcher`."""
        return self._failing("sync", file) or go()

    def delete(self, file, durable, go):
        """See `Watcher`."""
        return self._failing("delete", file) or go()

    def _failing(self, what, file, do_a_part=lambda: OK):
        self._has_begun = self._has_begun or file == "-wal"
        if (what, file) != self._at or not self._has_begun:
            return OK
        self._count += 1
        if not self._from <= self._count < self._until:
            return OK
        Path(os.environ["PROVE_FIRED"]).touch()
        if self._how == "stall":
            time.sleep(STALL_SECONDS)
            return OK
        do_a_part()
        if self._how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return FULL if self._how == "ENOSPC" else ERRORS[what]


class FaultyStore(SqliteStore):
    """The store with the fault."""

    def __init__(self, path, **options):
        fault = Fault(**json.loads(os.environ["PROVE_FAULT"]))
        super().__init__(path, connect=connect_to(fault, path), **options)


if __name__ == "__main__":
    engines.SqliteStore = FaultyStore
    engine.CHECKPOINT_PAGES = CHECKPOINT_PAGES
    program.main()
