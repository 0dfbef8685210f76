"""On which line of a TOML file something stands, which tomllib does not tell."""

import tomllib
from collections.abc import Iterator, Mapping

Path = tuple[str | int, ...]
"""Where something is in a document: `("card", 0, "prices", "pages")`."""


def lines_by_path(text: str) -> dict[Path, int]:
    """Return the line, from 1, on which each table, array and value of a valid TOML text begins.

    A statement of TOML ends at the first line end where it is complete, and each parses by itself: so tomllib finds its end and
    its keys, however it is written, and only the table that a header opens is kept track of.
    """
    lines: dict[Path, int] = {(): 1}
    newest: dict[Path, int] = {}
    table: Path = ()
    for line, statement in _statements(text):
        parsed = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _opened(parsed, newest)
            paths: list[Path] = [()]
        else:
            paths = list(_paths(parsed))
        for path in paths:
            for size in range(1, len(table + path) + 1):
                lines.setdefault((table + path)[:size], line)
    return lines


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """Return the line of what is at `path`, or of the nearest that it is in."""
    return lines[path] if path in lines else line_of(lines, path[:-1])


def _statements(text: str) -> Iterator[tuple[int, str]]:
    statement, begin = "", 1
    for line, content in enumerate(text.split("\n"), 1):
        statement += content + "\n"
        try:
            parsed = tomllib.loads(statement)
        except ValueError:
            continue
        if parsed:
            yield begin, statement
        statement, begin = "", line + 1


def _opened(header: Mapping[str, object], newest: dict[Path, int]) -> Path:
    """The path of the table that a header opens: names, with the index of the newest for each array of tables."""
    path: Path = ()
    value: object = header
    while value:
        if isinstance(value, Mapping):
            [(name, value)] = value.items()
            path = (*path, name)
            if not isinstance(value, list) and path in newest:
                path = (*path, newest[path])
        elif isinstance(value, list):
            newest[path] = newest.get(path, -1) + 1
            path = (*path, newest[path])
            value = value[0]
    return path


def _paths(value: object) -> Iterator[Path]:
    """The paths of a statement's value, inner ones included."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield (name,)
            yield from ((name, *path) for path in _paths(inner))
