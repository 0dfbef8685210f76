"""What a planted bug is."""

from typing import NamedTuple

SERVER = "server/meterd_server/"


class Mutant(NamedTuple):
    """What is planted, in `file`: `new` in the place of `old`; `tests` are pytest's arguments."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def where(self) -> str:
        """The part of the server it is planted in."""
        return self.file.removeprefix(SERVER).split("/")[0].removesuffix(".py")


def planted(part: str, tests: tuple[str, ...], *changes: tuple[str, ...]) -> list[Mutant]:
    """Mutants of one file; a change is (name, old, new), and tests of its own where those of the file are too many."""
    return [Mutant(name, SERVER + part, old, new, tuple(own) or tests) for name, old, new, *own in changes]
