"""The recorder sees all that SQLite writes, and the checker notices a disk, or a store, that loses something."""

import random
import sqlite3
from unittest.mock import patch

import pytest

from meterd_server.store.sqlite import engine
from prove.disk_model import KINDS, SYNCED, TORN, WRITTEN, Disk, Recorder, Step
from prove.proof_crash_images import Failing, crash, open_images
from prove.proofs import Proof, Round
from prove.recording import record, tuned
from prove.sqlite_vfs import connect_to, forget


def _run(run, seeds):
    tallies = [Proof("name", "what", run, (1, 1, 1)).run_round(seed) for seed in seeds]
    return [failure for tally in tallies for failure in tally.failures]


@pytest.mark.parametrize("seed", range(3))
async def test_everything_is_recorded(tmp_path, seed):
    """The recorded steps, done again, come to the files that are there, byte for byte: during the load and after closing."""
    path, recorder, seen = tmp_path / "a.sqlite3", Recorder(), []

    def files():
        found = {file: path.with_name(path.name + file) for file in ("", "-wal", "-journal")}
        return {file: there.read_bytes() for file, there in found.items() if there.exists()}

    real = engine.make_durable
    with tuned(random.Random(seed)), patch.object(engine, "make_durable") as durable:
        durable.side_effect = lambda path: (real(path), seen.append((len(recorder.steps), files())))
        recording = await record(path, recorder, seed, batches=60)
    seen.append((len(recorder.steps), files()))
    assert len(recording.batches) == 60
    for steps, expected in seen:
        disk = Disk({"": b""})
        for step in recorder.steps[:steps]:
            disk.do(step)
        # A log that was made and not written to yet says nothing.
        found = {file: data for file, data in disk.image(WRITTEN, random.Random(1)).items() if data or not file}
        assert {file: data for file, data in expected.items() if data or not file} == found


def test_a_sync_that_is_not_done_is_noticed():
    """When the disk only says that it has synced, images lack what was acknowledged."""

    async def run(round_: Round) -> None:
        path, recorder = round_.folder / "a.sqlite3", Recorder(lies=True)
        recording = await record(path, recorder, round_.seed, batches=30)
        await open_images(round_, "lies", Disk({"": b""}), recorder, recording)

    failures = _run(run, range(3))
    assert 3 == len(failures)


def test_a_store_that_does_not_sync_is_noticed():
    """With SQLite's synchronous = NORMAL, which in WAL mode syncs at checkpoints only, images lack what was acknowledged."""
    lax = tuple(pragma.replace("synchronous = FULL", "synchronous = NORMAL") for pragma in engine._PRAGMAS)
    assert lax != engine._PRAGMAS

    async def run(round_: Round) -> None:
        with patch.object(engine, "_PRAGMAS", lax):
            await crash(round_, "no sync", Recorder)

    failures = _run(run, range(3))
    assert 3 == len(failures)
    assert all("users have versions" in failure for failure in failures)


def test_logs_that_are_believed_after_a_failed_sync_are_noticed():
    """A store that reads the log as it finds it, and not as it may be on the disk, acknowledges what is lost later."""

    async def run(round_: Round) -> None:
        with patch.object(engine, "make_durable"):
            await crash(
                round_, "believed", lambda: Recorder(fails=Failing(random.Random(round_.seed), 0.01, 6, ("sync",)))
            )

    assert _run(run, range(4))


def test_an_entry_that_changed_is_noticed():
    """An image in which somebody changed a byte of an amount is not what was recorded."""

    async def run(round_: Round) -> None:
        recorder = Recorder()
        recording = await record(round_.folder / "a.sqlite3", recorder, round_.seed, batches=30)
        user_id = max(recording.ledger, key=lambda user_id: len(recording.ledger[user_id]))
        entries = recording.ledger[user_id]
        entries[0] = entries[0]._replace(fingerprint=entries[0].fingerprint ^ 1)
        await open_images(round_, "changed", Disk({"": b""}), recorder, recording)

    (failure,) = _run(run, [1])
    assert "has not the entries that were made" in failure


def test_a_sync_makes_durable_what_was_written_before_it():
    """An unsynced write may be there or not, in part where sectors tear; a synced one is."""
    disk, dice = Disk({"": b"-" * 1024}), random.Random(1)
    disk.do(Step("write", "", 0, b"a" * 1024))
    assert b"-" * 1024 == disk.image(SYNCED, dice)[""]
    assert b"a" * 1024 == disk.image(WRITTEN, dice)[""]
    torn = {disk.image(TORN[0], dice)[""] for _ in range(100)}
    halves = (b"-" * 512, b"a" * 512)
    assert {first + second for first in halves for second in halves} == torn
    disk.do(Step("sync", ""))
    assert {b"a" * 1024} == {disk.image(kind, dice)[""] for kind in KINDS}
    assert disk.is_certain


def test_a_failed_sync_leaves_pages_in_doubt_until_they_are_written_again():
    """A later sync saves nothing that was written before the failed one; writing it again and syncing does."""
    disk, dice = Disk({"": b"-" * 4096}), random.Random(1)
    disk.do(Step("write", "", 0, b"a" * 4096))
    disk.do(Step("sync failed", ""))
    disk.do(Step("sync", ""))
    assert (b"-" * 4096, b"a" * 4096) == (disk.image(SYNCED, dice)[""], disk.image(WRITTEN, dice)[""])
    assert not disk.is_certain
    disk.do(Step("write", "", 0, b"a" * 4096))
    disk.do(Step("sync", ""))
    assert (b"a" * 4096, True) == (disk.image(SYNCED, dice)[""], disk.is_certain)


def test_a_name_comes_with_the_first_sync_of_the_file():
    """A new log is not there for certain before it is synced, and a removed one may come back until a folder is synced."""
    disk, dice = Disk({"": b""}), random.Random(1)
    disk.do(Step("write", "-wal", 0, b"log"))
    assert {""} == disk.image(SYNCED, dice).keys()
    disk.do(Step("sync", "-wal"))
    assert b"log" == disk.image(SYNCED, dice)["-wal"]
    disk.do(Step("delete", "-wal"))
    assert ({"", "-wal"}, {""}) == (disk.image(SYNCED, dice).keys(), disk.image(WRITTEN, dice).keys())
    disk.do(Step("write", "-wal", 0, b"new"))
    disk.do(Step("sync", "-wal"))
    assert b"new" == disk.image(SYNCED, dice)["-wal"]


def test_an_error_of_the_watchers_is_one_of_the_disk(tmp_path):
    """What a watcher raises does not get lost in C: SQLite sees an I/O error."""

    class Broken(Recorder):
        def write(self, *_):
            raise KeyError("a mistake")

    path = tmp_path / "a.sqlite3"
    connection = connect_to(Broken(), path)(str(path))
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        connection.execute("CREATE TABLE a (b)")
    connection.close()
    forget(path)
