"""SQLite's own way to the disk, watched: a VFS named "prove" that tells a `Watcher` of each change before it reaches a file.

It is the system's unix VFS with four methods replaced (write, truncate, sync, and delete of a file), in the very library that
Python's `sqlite3` has loaded. Reading, locking and the shared memory go straight to the original: the SQLite that is watched
does what it always does. Connect with `connect_to(watcher)`.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import sqlite3
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from functools import cache, partial
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from prove.proofs import NotHereError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "prove"
OK, FULL, IOERR_WRITE, IOERR_FSYNC, IOERR_TRUNCATE, IOERR_DELETE = 0, 13, 778, 1034, 1546, 2570

_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(Structure):
    _fields_ = [
        *(("version", c_int), ("file_bytes", c_int), ("path_bytes", c_int), ("next", c_void_p)),
        *(("name", c_char_p), ("data", c_void_p), ("open", c_void_p), ("delete", c_void_p)),
        *((f"other_{number}", c_void_p) for number in range(14)),
    ]


class _Methods(Structure):
    _fields_ = [
        *(("version", c_int), ("close", c_void_p), ("read", c_void_p), ("write", c_void_p)),
        *(("truncate", c_void_p), ("sync", c_void_p)),
        *((f"other_{number}", c_void_p) for number in range(13)),
    ]


class _File(Structure):
    _fields_ = [("methods", c_void_p)]


class Watcher(Protocol):
    """What is told of one database's files: "" is the database itself, "-wal" and "-journal" its logs.

    Each method is given `go`, which does what SQLite asked for, and answers with a result code of SQLite's: that of `go`, or an
    error of its own. It may be called from several threads, one at a time.
    """

    def write(self, file: str, offset: int, data: bytes, go: Callable[[bytes], int]) -> int:
        """Bytes are written; `go` takes those that are to be."""

    def truncate(self, file: str, size: int, go: Callable[[], int]) -> int:
        """A file is cut or extended to a size."""

    def sync(self, file: str, go: Callable[[], int]) -> int:
        """What was written to a file is to be durable."""

    def delete(self, file: str, durable: bool, go: Callable[[], int]) -> int:
        """A file is removed; with `durable`, the folder is synced as well."""


_watchers: dict[str, Watcher] = {}
_keep: list[object] = []
"""What SQLite holds addresses of: it must never be collected."""


def connect_to(watcher: Watcher, path: Path) -> Callable[..., sqlite3.Connection]:
    """Return a function like `sqlite3.connect` for the database at `path`, with the watcher between SQLite and its files."""
    _register()
    _watchers[str(path)] = watcher

    def connect(database: str, **options: object) -> sqlite3.Connection:
        uri = database if options.pop("uri", False) else f"file:{quote(database)}?mode=rwc"
        return sqlite3.connect(f"{uri}&vfs={NAME}", uri=True, **options)

    return connect


def forget(path: Path) -> None:
    """Watch the database at `path` no more. No connection to it may be left."""
    del _watchers[str(path)]


@cache
def _register() -> None:
    # Through the extension's own handle: what it is linked to, or has linked in, is found and nothing else.
    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    try:
        find, register = library.sqlite3_vfs_find, library.sqlite3_vfs_register
    except AttributeError:
        raise NotHereError(
            "Python's sqlite3 hides the SQLite it is made with, so its writes cannot be recorded"
        ) from None
    find.argtypes, find.restype = [c_char_p], c_void_p
    register.argtypes, register.restype = [c_void_p, c_int], c_int
    original = _Vfs.from_address(find(b"unix"))
    ours = _Vfs.from_buffer_copy(original)
    ours.name, ours.next = NAME.encode(), None
    original_open, original_delete = _OPEN(original.open), _DELETE(original.delete)

    @_OPEN
    def open_(_vfs: int, name: int | None, file: int, flags: int, out_flags: object) -> int:
        code = original_open(ctypes.addressof(original), name, file, flags, out_flags)
        if code == OK and name and (found := _found(ctypes.string_at(name).decode())):
            opened = _File.from_address(file)
            opened.methods = ctypes.addressof(_watched(opened.methods, *found))
        return int(code)

    @_DELETE
    def delete(_vfs: int, name: bytes, durable: int) -> int:
        go = partial(original_delete, ctypes.addressof(original), name, durable)
        found = _found(name.decode())
        return _answer(found[0].delete, found[1], bool(durable), go, error=IOERR_DELETE) if found else int(go())

    ours.open, ours.delete = (ctypes.cast(each, c_void_p).value for each in (open_, delete))
    _keep.extend([ours, open_, delete])
    if register(ctypes.addressof(ours), 0) != OK:
        raise NotHereError("SQLite takes no VFS")


def _found(path: str) -> tuple[Watcher, str] | None:
    """The watcher of a file, and which of its database's files it is."""
    for file in ("-wal", "-journal", ""):
        if path.endswith(file) and (watcher := _watchers.get(path.removesuffix(file))):
            return watcher, file
    return None


def _watched(address: int, watcher: Watcher, file: str) -> _Methods:
    """The methods at an address, with a watcher before those that change something."""
    original = _Methods.from_address(address)
    methods = _Methods.from_buffer_copy(original)
    write, truncate, sync = _WRITE(original.write), _TRUNCATE(original.truncate), _SYNC(original.sync)

    @_WRITE
    def on_write(handle: int, data: int, length: int, offset: int) -> int:
        def go(kept: bytes) -> int:
            return int(write(handle, ctypes.cast(c_char_p(kept), c_void_p), len(kept), offset))

        return _answer(watcher.write, file, offset, ctypes.string_at(data, length), go, error=IOERR_WRITE)

    @_TRUNCATE
    def on_truncate(handle: int, size: int) -> int:
        return _answer(watcher.truncate, file, size, partial(truncate, handle, size), error=IOERR_TRUNCATE)

    @_SYNC
    def on_sync(handle: int, flags: int) -> int:
        return _answer(watcher.sync, file, partial(sync, handle, flags), error=IOERR_FSYNC)

    replaced = {"write": on_write, "truncate": on_truncate, "sync": on_sync}
    for name, method in replaced.items():
        setattr(methods, name, ctypes.cast(method, c_void_p).value)
    watcher_keeps: list[object] = watcher.__dict__.setdefault("kept_for_sqlite", [])
    watcher_keeps.extend([methods, *replaced.values()])
    return methods


def _answer(told: Callable[..., int], *arguments: object, error: int) -> int:
    """What a watcher answers; an exception of its own must not be lost in C, where it would count as success."""
    try:
        return int(told(*arguments))
    except Exception:
        return error
