"""The disk is full while callers write, and some time later it has room again."""

import os
import resource
import subprocess
from contextlib import ExitStack, contextmanager

from e2e.process import Daemon
from prove.harness import Load, settled
from prove.invariants import check_file
from prove.proofs import Round, proof

DISK_MIB = 4
ROOM_BYTES = 600_000
"""What a new ledger finds; some thousand entries with their log fill it."""


@proof("disk-full", "the disk is full under live gRPC load, then has room again", rounds=(1, 5, 100))
async def disk_full(round_: Round) -> None:
    """Nobody is told success for what found no room; once there is room the same daemon goes on, and nothing is lost."""
    with ExitStack() as stack:
        try:
            stack.enter_context(small_disk(round_.folder))
        except (OSError, subprocess.CalledProcessError):
            kind, limit = "a file may not grow (RLIMIT_FSIZE)", limit_files
        else:
            kind, limit = f"a tmpfs of {DISK_MIB} MiB is full", fill
        daemon = stack.enter_context(Daemon(round_.folder, options=["--log-level", "error"]))
        loads = []
        with round_.fault(kind):
            for number in range(2):
                undo = limit(daemon, ROOM_BYTES + number * 200_000)
                loads.append(Load(seed=round_.seed * 3 + number))
                # It ends when every writer was told that the outcome is unknown.
                await loads[-1].run(daemon.address)
                undo()
                await settled(daemon.address, loads)
            loads.append(Load(seed=round_.seed * 3 + 2, operations_max=300))
            await loads[-1].run(daemon.address)
            await settled(daemon.address, loads)
            assert not loads[-1].failures, f"there is room, and still {loads[-1].failures}"
            assert 0 == daemon.stop()
            await check_file(daemon.db)


@contextmanager
def small_disk(folder):
    """Mount a small file system at a folder, which takes the right to do so."""
    mount = ("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "meterd-prove", str(folder))
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(("umount", "--lazy", str(folder)), check=True, capture_output=True)


def fill(daemon, room_bytes):
    """Leave so much room on the disk of a daemon; return what makes room again."""
    filler = daemon.folder / "filler"
    disk = os.statvfs(daemon.folder)
    filler.write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - room_bytes)))
    return filler.unlink


def limit_files(daemon, room_bytes):
    """Let no file of a daemon become larger than this; return what takes the limit away again."""
    before = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (room_bytes, before[1]))
    return lambda: resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, before)
