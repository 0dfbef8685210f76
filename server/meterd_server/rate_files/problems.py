"""What is wrong with a file of prices: each problem with its file, line and reason."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from meterd_server.errors import MeterdError


class Problem(NamedTuple):
    """One thing that is wrong."""

    file: str
    line: int
    """Counted from 1."""
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class RateFileError(MeterdError):
    """A file of prices cannot be used, and nothing of it was. Its text has one line for each of its `problems`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


def read_text(path: Path) -> str:
    """Return the file's text. Raises `RateFileError` when it cannot be read or is not UTF-8."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RateFileError([Problem(str(path), 1, f"cannot be read: {error.strerror}")]) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RateFileError([Problem(str(path), line, f"not UTF-8 at byte {error.start}")]) from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` when a known word is close, else nothing."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
