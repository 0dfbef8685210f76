"""SQLite connections that fail where a test says."""

import sqlite3


class Disk:
    """A place whose connections count statements, and fail at one of them while armed."""

    def __init__(self):
        self.statements = []
        self._fail_at = None
        self._done_first = False
        self._broken_for_good = False
        self._error = sqlite3.OperationalError

    def connect(self, *args, **kwargs):
        """Make a connection, as sqlite3.connect does."""
        if self._fail_at == -1:
            raise self._error("unable to open database file")
        connection = sqlite3.connect(*args, factory=_FaultyConnection, **kwargs)
        connection.disk = self
        return connection

    def count(self):
        """Begin counting statements, without failing."""
        self.statements = []
        self._fail_at = None

    def fail_at(self, number, *, done_first=False, broken_for_good=False):
        """Fail at the `number`-th statement from now, perhaps after it was done, and perhaps at all that follow."""
        self.statements = []
        self._fail_at = number
        self._done_first = done_first
        self._broken_for_good = broken_for_good

    def refuse_connections(self, error=sqlite3.OperationalError):
        """Make no connection until `heal`."""
        self._fail_at = -1
        self._error = error

    def heal(self):
        """Fail no more."""
        self._fail_at = None

    def run(self, statement, *args):
        """Run a statement unless it is one to fail at."""
        number = len(self.statements)
        self.statements.append(args[0])
        at = self._fail_at
        fails = at is not None and (number == at or (number > at and self._broken_for_good))
        if fails and not (self._done_first and number == at):
            raise sqlite3.OperationalError("disk I/O error")
        try:
            result = statement(*args)
        except sqlite3.Error:
            if not fails:
                raise
        else:
            if not fails:
                return result
            result.close()
        raise sqlite3.OperationalError("disk I/O error")


class _FaultyConnection(sqlite3.Connection):
    disk: Disk

    def execute(self, *args):
        return self.disk.run(super().execute, *args)

    def executemany(self, *args):
        return self.disk.run(super().executemany, *args)

    def executescript(self, *args):
        return self.disk.run(super().executescript, *args)
