"""Power cuts beneath SQLite: every write of a real store under load is recorded, and what a cut could leave is opened."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

from prove.disk_model import ERRORS, KINDS, SYNCED, WRITTEN, Disk, Recorder
from prove.proofs import Round, proof
from prove.recording import Recording, check_image, record, tuned
from prove.sqlite_vfs import FULL, OK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

BATCHES = 60
IMAGES = 50
"""Of each of the two recordings of a round."""
SHARED_MEMORY = "-shm"


@proof("crash-images", "the power fails beneath SQLite", rounds=(3, 24, 1_000))
async def crash_images(round_: Round) -> None:
    """What was synced survives every power cut, and nothing is there in part: from an empty file, and from what a cut left."""
    await crash(round_, "the power fails", Recorder)


@proof("failed-syncs", "SQLite's syncs fail, and the power fails later", rounds=(1, 12, 300), seeds=(3, 5))
async def failed_syncs(round_: Round) -> None:
    """What was acknowledged after a sync had failed is there as well, though the kernel lost pages and holds them for clean."""
    dice = random.Random(f"syncs {round_.seed}")
    # One at a time, or several in a row: then closing and opening again fails, too.
    chance, length = dice.choice(((0.02, 1), (0.01, 3), (0.01, 6)))
    await crash(round_, "syncs failed before", lambda: Recorder(fails=Failing(dice, chance, length, ("sync",))))


@proof(
    "disk-errors", "SQLite's writes, truncates, syncs and deletes fail, and the power fails later", rounds=(1, 12, 300)
)
async def disk_errors(round_: Round) -> None:
    """With a disk that fails now and then, every batch comes to one outcome, and what was acknowledged survives a power cut."""
    dice = random.Random(f"errors {round_.seed}")
    failing = Failing(dice, *dice.choice(((0.01, 1), (0.005, 4), (0.002, 12))), tuple(ERRORS))
    await crash(round_, "errors before", lambda: Recorder(fails=failing))
    for failed in failing.done:
        with round_.fault(failed):
            """It was survived: every batch was carried out in the end, and the images held."""


class Failing:
    """Says of each step whether it fails: by chance, and then so many in a row; not while the file is made."""

    def __init__(self, dice: random.Random, chance: float, length: int, whats: tuple[str, ...]) -> None:
        self.done: list[str] = []
        self._dice = dice
        self._chance = chance
        self._length = length
        self._whats = whats
        self._left = 0
        self._is_full = False
        self._has_begun = False

    def __call__(self, what: str, file: str) -> int:
        """The code to fail with, or OK."""
        self._has_begun = self._has_begun or file == "-wal"
        if what not in self._whats or not self._has_begun:
            return OK
        if not self._left and self._dice.random() < self._chance:
            self._left = self._length
            self._is_full = self._dice.random() < 0.5
        if not self._left:
            return OK
        self._left -= 1
        self.done.append(f"{'ENOSPC' if self._is_full else 'EIO'} at {what} of {file.strip('-') or 'file'}")
        return FULL if self._is_full else ERRORS[what]


async def crash(round_: Round, kind: str, make_recorder: Callable[[], Recorder]) -> None:
    """Record a store twice, from an empty file and from what a power cut left of that, and open images of both."""
    files: Mapping[str, bytes] = {"": b""}
    with tuned(random.Random(round_.seed)):
        for life in range(2):
            path = round_.folder / f"{life}.sqlite3"
            for file, data in files.items():
                path.with_name(path.name + file).write_bytes(data)
            recorder = make_recorder()
            recording = await record(path, recorder, round_.seed * 2 + life, batches=BATCHES)
            files = await open_images(round_, kind, Disk(files), recorder, recording)


async def open_images(
    round_: Round, kind: str, disk: Disk, recorder: Recorder, recording: Recording
) -> Mapping[str, bytes]:
    """Cut the power at random steps and check what is left; return the files of one of these images."""
    dice = random.Random(recording.seed)
    path: Path = round_.folder / "image.sqlite3"
    steps = recorder.steps
    cuts = sorted(dice.sample(range(1, len(steps) + 1), min(IMAGES, len(steps))))
    kept: Mapping[str, bytes] = {}
    for number, (done, cut) in enumerate(pairwise([0, *cuts])):
        for step in steps[done:cut]:
            disk.do(step)
        # Where nothing is uncertain, all kinds of images are the same.
        image_kind = dice.choice((SYNCED, WRITTEN) if disk.is_certain else KINDS)
        image = disk.image(image_kind, dice)
        if number == len(cuts) // 2:
            kept = dict(image)
        if dice.random() < 0.2:
            image[SHARED_MEMORY] = dice.randbytes(32_768)
        with round_.fault(f"{kind}: {image_kind}", f"after step {cut} of {len(steps)}"):
            await check_image(path, image, recording, cut, dice)
    return kept
