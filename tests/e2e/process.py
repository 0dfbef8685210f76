"""A real daemon in a process of its own, ended by its id whatever becomes of the test."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

START_SECONDS = 30
STOP_SECONDS = 30

_ANNOUNCEMENT = "meterd listening on "


def environment(folder):
    """The environment of a daemon or command that sees no setting of this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("METERD_")}
    return kept | {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}


def meterd(folder, *arguments):
    """Run the command `meterd` to its end; its result has returncode, stdout and stderr."""
    return subprocess.run(
        [sys.executable, "-m", "meterd_server", *(str(each) for each in arguments)],
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def is_running(pid):
    """Whether a process is there; one that has ended and waits for its parent to notice is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition, what):
    """Wait until a condition holds; it is one that comes about in another process."""
    ends = time.monotonic() + STOP_SECONDS
    while not condition():
        assert time.monotonic() < ends, f"not within {STOP_SECONDS} s: {what}"
        select.select([], [], [], 0.005)


class Daemon:
    """`meterd serve` on a database file; as a context manager it is running inside and gone afterwards.

    `module` is what is run instead, and sees `variables` in its environment besides.
    """

    def __init__(self, folder, *, db=None, listen="127.0.0.1:0", options=(), module="meterd_server", variables=None):
        self.folder = folder
        self.db = db or folder / "ledger.sqlite3"
        self._log_path = folder / "daemon.log"
        self._arguments = ["--listen", listen, "--db", str(self.db), "--log-format", "json", *options]
        self.module = module
        self._variables = variables or {}
        self._process = None
        self.address = ""

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.end()

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        """Start the daemon and wait until it says where it listens."""
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module, "serve", *self._arguments],
                env=environment(self.folder) | self._variables,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                process_group=0,
            )
        line = self._first_line()
        if not line.startswith(_ANNOUNCEMENT):
            self.end()
            raise AssertionError(f"the daemon did not start: {line!r}, log:\n{self.log_text()}")
        self.address = line.removeprefix(_ANNOUNCEMENT).strip()

    def _first_line(self):
        readable, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        return self._process.stdout.readline() if readable else ""

    def signal(self, number):
        """Send a signal, by process id."""
        os.kill(self.pid, number)

    def signal_group(self, number):
        """Send a signal to the daemon and all of its workers, as a terminal does."""
        os.killpg(self.pid, number)

    def signal_worker(self, pid, number):
        """Send a signal to one of its workers."""
        assert pid in self.workers().values()
        os.kill(pid, number)

    def workers(self):
        """The process ids of the workers, by number: of each the one that was started last."""
        words = [line["event"].split() for line in self.log() if " is process " in line["event"]]
        return {int(number): int(pid) for _, number, _, _, pid in words}

    def wait(self):
        """Wait until the daemon has ended; return its exit code, -N when signal N ended it."""
        code = self._process.wait(STOP_SECONDS)
        self._process.stdout.close()
        return code

    def stop(self):
        """Ask the daemon to stop; return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def end(self):
        """Make sure that the process is gone."""
        if self._process is not None:
            if self._process.poll() is None:
                self.signal(signal.SIGKILL)
            self.wait()

    def log_text(self):
        """Everything that was written to stderr so far, over all starts."""
        return self._log_path.read_text()

    def log(self, event=None):
        """The log's lines as dicts; only those of one event when it is named."""
        lines = [json.loads(line) for line in self.log_text().splitlines()]
        return [line for line in lines if event in (None, line["event"])]

    def wait_for_log(self, text):
        """Wait until the log holds a text: the daemon has come to that point."""
        wait_until(lambda: text in self.log_text(), f"{text!r} in the log")
