"""Statements of many rows: what keeps the interpreter lock from changing hands for every row."""

from __future__ import annotations

from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    Statement = tuple[str, Sequence[Any]]

_ROWS_A_STATEMENT_MAX = 64
"""A statement of its own for each number of rows up to this, prepared once: a batch is few statements, whatever its size."""


def insert(verb: str, table: str, columns: str, rows: Collection[tuple[Any, ...]]) -> list[Statement]:
    """As few statements as the prepared sizes allow. `verb`: INSERT, or REPLACE where a row may be there."""
    return insert_each(verb, table, columns, rows, len(rows))


def insert_each(verb: str, table: str, columns: str, rows: Iterable[tuple[Any, ...]], count: int) -> list[Statement]:
    """As `insert`, for so many rows that need not be there yet: a row of columns is made for as long as it is looked at."""
    if count == 1:
        (row,) = rows
        return [insert_one(verb, table, columns, row)]
    values = chain.from_iterable(rows)
    width = columns.count(",") + 1
    sizes = [min(_ROWS_A_STATEMENT_MAX, count - first) for first in range(0, count, _ROWS_A_STATEMENT_MAX)]
    return [(_insert_statement(verb, table, columns, size), [*islice(values, size * width)]) for size in sizes]


def insert_one(verb: str, table: str, columns: str, row: tuple[Any, ...]) -> Statement:
    """As `insert`, for one row."""
    return _insert_statement(verb, table, columns, 1), row


@cache
def _insert_statement(verb: str, table: str, columns: str, rows: int) -> str:
    row = "(" + ",".join("?" * len(columns.split(","))) + ")"
    return f"{verb} INTO {table} ({columns}) VALUES {','.join([row] * rows)}"
