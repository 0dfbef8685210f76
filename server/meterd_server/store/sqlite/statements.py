"""Statements of many rows: what keeps the interpreter lock from changing hands for every row."""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    Statement = tuple[str, Sequence[Any]]

_ROWS_A_STATEMENT_MAX = 64
"""A statement of its own for each number of rows up to this, prepared once: a batch is few statements, whatever its size."""


def insert(verb: str, table: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> list[Statement]:
    """As few statements as the prepared sizes allow. `verb`: INSERT, or REPLACE where a row may be there."""
    if len(rows) == 1:
        return [(_insert_statement(verb, table, columns, 1), rows[0])]
    chunks = [rows[start : start + _ROWS_A_STATEMENT_MAX] for start in range(0, len(rows), _ROWS_A_STATEMENT_MAX)]
    return [(_insert_statement(verb, table, columns, len(chunk)), [*chain.from_iterable(chunk)]) for chunk in chunks]


@cache
def _insert_statement(verb: str, table: str, columns: str, rows: int) -> str:
    row = "(" + ",".join("?" * len(columns.split(","))) + ")"
    return f"{verb} INTO {table} ({columns}) VALUES {','.join([row] * rows)}"
