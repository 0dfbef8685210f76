"""A disk on which nothing is certain before it is synced: what a power cut could leave of a database's files.

`Recorder` lets SQLite write as ever and notes each step. `Disk` is told these steps again, up to the moment of the cut, and builds
images of the files. A sync makes durable what was written to that file before it; the first sync of a new log also makes the
folder durable, as SQLite's does. Names of files come and go in the order in which they were changed, as journaling file systems
keep them; bytes in any order. After a sync that failed, the kernel holds pages for clean that may never have reached the disk: a
later sync does not save them, until they are written again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from prove.sqlite_vfs import IOERR_DELETE, IOERR_FSYNC, IOERR_TRUNCATE, IOERR_WRITE, OK

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Mapping

ERRORS = {"write": IOERR_WRITE, "sync": IOERR_FSYNC, "truncate": IOERR_TRUNCATE, "delete": IOERR_DELETE}
"""The code with which SQLite's callers see that each kind of step failed."""

PAGE_BYTES = 4096
SECTORS_BYTES = (512, 4096)

SYNCED, WRITTEN, SUBSET = "synced only", "all written", "any of the unsynced writes"
TORN = tuple(f"torn sectors of {sector} B" for sector in SECTORS_BYTES)
KINDS = (SYNCED, WRITTEN, SUBSET, *TORN)


class Step(NamedTuple):
    """One thing that SQLite had done to a file."""

    what: str
    """write, truncate, sync, sync failed, delete or delete durably."""
    file: str
    offset: int = 0
    """Of a write; the size that a truncate leaves."""
    data: bytes = b""


class Recorder:
    """Notes each step. `fails(what, file)` says with which of SQLite's codes one fails.

    Of a write that fails, the first half is done. With `lies`, syncs are neither done nor told.
    """

    def __init__(self, *, lies: bool = False, fails: Callable[[str, str], int] = lambda _what, _file: OK) -> None:
        self.steps: list[Step] = []
        self._lies = lies
        self._fails = fails

    def write(self, file: str, offset: int, data: bytes, go: Callable[[bytes], int]) -> int:
        """See `Watcher`."""
        error = self._fails("write", file)
        kept = data[: len(data) // 2] if error else data
        self.steps.append(Step("write", file, offset, kept))
        return go(kept) or error

    def sync(self, file: str, go: Callable[[], int]) -> int:
        """See `Watcher`."""
        if self._lies:
            return OK
        error = self._fails("sync", file)
        # An error says nothing of what was synced: here, nothing was.
        error = error or go()
        self.steps.append(Step("sync failed" if error else "sync", file))
        return error

    def truncate(self, file: str, size: int, go: Callable[[], int]) -> int:
        """See `Watcher`."""
        if error := self._fails("truncate", file):
            return error
        self.steps.append(Step("truncate", file, size))
        return go()

    def delete(self, file: str, durable: bool, go: Callable[[], int]) -> int:
        """See `Watcher`."""
        if error := self._fails("delete", file):
            return error
        self.steps.append(Step("delete durably" if durable else "delete", file))
        return go()

    def written_beside(self, file: str, offset: int, data: bytes) -> None:
        """Note that somebody else than SQLite wrote to a file."""
        self.steps.append(Step("write", file, offset, data))

    def synced_beside(self, file: str) -> None:
        """Note that somebody else than SQLite synced a file."""
        self.steps.append(Step("sync", file))


@dataclass
class _Content:
    """A file, whatever it is called and whether or not it still has a name."""

    durable: bytearray
    seen: bytearray
    """What a reader sees as long as the power is on."""
    unsynced: list[Step] = field(default_factory=list)
    doubtful_pages: set[int] = field(default_factory=set)
    """Held for clean since a sync failed."""
    was_synced: bool = False

    def change(self, step: Step) -> None:
        self.unsynced.append(step)
        _apply(self.seen, step)

    def sync(self) -> None:
        for step in self.unsynced:
            if step.what == "truncate":
                _apply(self.durable, step)
        for page in {page for step in self.unsynced if step.what == "write" for page in _pages(step)}:
            self._take_page(self.durable, page)
            self.doubtful_pages.discard(page)
        self.unsynced.clear()

    def fail_to_sync(self) -> None:
        for step in self.unsynced:
            if step.what == "truncate":
                _apply(self.durable, step)
            else:
                self.doubtful_pages.update(_pages(step))
        self.unsynced.clear()

    def image(self, kind: str, dice: random.Random) -> bytearray:
        if kind == WRITTEN:
            return bytearray(self.seen)
        image = bytearray(self.durable)
        if kind == SYNCED:
            return image
        for page in sorted(self.doubtful_pages):
            if dice.random() < 0.5:
                self._take_page(image, page)
        kept = dice.choice((0.1, 0.5, 0.9))
        steps: Iterable[Step] = self.unsynced
        if kind in TORN:
            steps = [part for step in steps for part in _torn(step, SECTORS_BYTES[TORN.index(kind)])]
        for step in steps:
            if dice.random() < kept:
                _apply(image, step)
        return image

    def _take_page(self, target: bytearray, page: int) -> None:
        begin = page * PAGE_BYTES
        _apply(target, Step("write", "", begin, bytes(self.seen[begin : begin + PAGE_BYTES])))


class Disk:
    """The files of one database, step by step, from what was durable at first."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._now = {file: _Content(bytearray(data), bytearray(data)) for file, data in files.items()}
        self._names = [dict(self._now)]
        """What the folder may show: the durable state first, then after each change of a name."""

    def do(self, step: Step) -> None:
        """Take in one step."""
        content = self._now.get(step.file)
        if step.what.startswith("delete"):
            self._now.pop(step.file, None)  # one that was opened and never written to is not known here
            self._names.append(dict(self._now))
            if step.what == "delete durably":
                self._sync_names()
            return
        if content is None:
            content = self._now[step.file] = _Content(bytearray(), bytearray())
            self._names.append(dict(self._now))
        if step.what == "sync":
            content.sync()
            if step.file and not content.was_synced:
                self._sync_names()
            content.was_synced = True
        elif step.what == "sync failed":
            content.fail_to_sync()
        else:
            content.change(step)

    @property
    def is_certain(self) -> bool:
        """Whether a power cut now could leave one state only."""
        return len(self._names) == 1 and not any(each.unsynced or each.doubtful_pages for each in self._now.values())

    def image(self, kind: str, dice: random.Random) -> dict[str, bytes]:
        """The files after a power cut now."""
        names = {SYNCED: self._names[0], WRITTEN: self._now}.get(kind) or dice.choice(self._names)
        return {file: bytes(content.image(kind, dice)) for file, content in names.items()}

    def _sync_names(self) -> None:
        self._names = [dict(self._now)]


def _pages(step: Step) -> range:
    return range(step.offset // PAGE_BYTES, (step.offset + len(step.data) - 1) // PAGE_BYTES + 1)


def _torn(step: Step, sector_bytes: int) -> list[Step]:
    """A write as the writes of its sectors."""
    if step.what != "write":
        return [step]
    end = step.offset + len(step.data)
    first = step.offset // sector_bytes * sector_bytes
    edges = [step.offset, *range(first + sector_bytes, end, sector_bytes), end]
    return [
        step._replace(offset=begin, data=step.data[begin - step.offset : until - step.offset])
        for begin, until in pairwise(edges)
    ]


def _apply(content: bytearray, step: Step) -> None:
    if len(content) < step.offset:
        content.extend(bytes(step.offset - len(content)))
    if step.what == "truncate":
        del content[step.offset :]
    else:
        content[step.offset : step.offset + len(step.data)] = step.data
