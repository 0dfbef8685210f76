"""The nouns as plain tuples of plain values, both ways: what can be marshalled, and what JSON has arrays for.

What has to be done for a noun follows from its annotations, and is found out once.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache, partial
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from meterd_server.model import accounts, commands, entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Row = tuple[Any, ...]
    Noun = TypeVar("Noun", bound=Row)


made: Callable[[Any, Iterable[Any]], Any] = tuple.__new__
"""`made(kind, fields)` is the noun of all its fields, in half the time that calling the kind or its `_make` takes."""


def flat(noun: Row) -> Row:
    """A noun as a tuple in which there is no other noun and no enum."""
    nested = _nested_in(type(noun))
    if not nested:
        return tuple(noun)
    fields = [*noun]
    for place, flatten, _ in nested:
        if fields[place] is not None:
            fields[place] = flatten(fields[place])
    return tuple(fields)


def restored(kind: type[Noun], row: Sequence[Any]) -> Noun:
    """The noun of that kind that was made flat; lists will do for tuples in it."""
    fields = [*row]
    for place, _, restore in _nested_in(kind):
        if fields[place] is not None:
            fields[place] = restore(fields[place])
    return kind(*fields)


class _Nested(NamedTuple):
    """A field that is more than a plain value."""

    place: int
    flatten: Callable[[Any], Any]
    restore: Callable[[Any], Any]


@cache
def _nested_in(kind: type[Row]) -> tuple[_Nested, ...]:
    hints = get_type_hints(kind, localns={**vars(accounts), **vars(entries), **vars(commands)})
    ways = [_ways(hint) for hint in hints.values()]
    return tuple(_Nested(place, *both) for place, both in enumerate(ways) if both)


def _ways(hint: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]] | None:  # noqa: ANN401 -- an annotation
    """How a value of a field annotated so is made flat, and restored; None if it is plain."""
    if get_origin(hint) is UnionType:
        # Of the nouns, all that may also be something else may be None.
        (hint,) = set(get_args(hint)) - {NoneType}
        return _ways(hint)
    if get_origin(hint) is tuple and get_args(hint)[1:] == (...,):
        both = _ways(get_args(hint)[0])
        return both and (partial(_each, both[0]), partial(_each, both[1]))
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return int, {int(member): member for member in hint}.__getitem__
    if hasattr(hint, "_fields"):
        return flat, partial(restored, hint)
    return None


def _each(way: Callable[[Any], Any], values: Sequence[Any]) -> Row:
    return tuple(map(way, values))
