"""Values whose fields are read from the daemon's answer when they are looked at.

Most callers look at one or two fields of what they get, and making them all would be a third of what a coalesced call costs.
"""

from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from types import MemberDescriptorType
from typing import Any, Self, TypeVar


class Deferred:
    """The base of a frozen dataclass with slots whose values may be made of an answer instead of their fields; see `defer`."""

    __slots__ = ("_answer",)

    _answer: Any
    """What the fields are read from; None for a value that was made of its fields."""

    def __new__(cls, *_: object, **__: object) -> Self:
        value = object.__new__(cls)
        _set_answer(value, None)
        return value


# Past the dataclass's own __setattr__, which refuses, and without looking a name up.
_set_answer = Deferred.__dict__["_answer"].__set__
_answer_of: Callable[[object], Any] = Deferred.__dict__["_answer"].__get__

DeferredT = TypeVar("DeferredT", bound=Deferred)


_UNREAD: Any = object()
"""Stands in the slot of a field that is kept once it is read: to find a slot empty takes ten times as long."""


def defer(
    kind: type[DeferredT], *, opened: Callable[[Any], Any] | None = None, **readers: Callable[[Any], object]
) -> Callable[[Any], DeferredT]:
    """Let a kind's values be made of an answer, by what this returns.

    A field is what its reader gives, once, or else the answer's field of that name. Where the answer is something else until it is
    `opened`, that is done whenever it is read: most callers look once.
    """
    keepers = [kind.__dict__[name].__set__ for name in readers]
    for field in fields(kind):  # type: ignore[arg-type]
        slot = kind.__dict__[field.name]
        reader = readers.get(field.name)
        read = reader or attrgetter(field.name)
        if opened is not None:
            read = _after(opened, read)
        look = _once(slot, read) if reader else _each_time(slot, read)
        # The dataclass's own __init__ and __setstate__ set it, as they did the slot: its __setattr__ refuses everybody else.
        setattr(kind, field.name, property(look, slot.__set__))
    make = object.__new__

    def deferred(answer: Any) -> DeferredT:  # noqa: ANN401 -- whatever the readers read
        value = make(kind)
        _set_answer(value, answer)
        for keep in keepers:
            keep(value, _UNREAD)
        return value

    return deferred


def _after(opened: Callable[[Any], Any], read: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda answer: read(opened(answer))


def _each_time(slot: MemberDescriptorType, read: Callable[[Any], object]) -> Callable[[Deferred], object]:
    given = slot.__get__

    def value(self: Deferred) -> object:
        answer = _answer_of(self)
        return given(self) if answer is None else read(answer)

    return value


def _once(slot: MemberDescriptorType, read: Callable[[Any], object]) -> Callable[[Deferred], object]:
    kept, keep = slot.__get__, slot.__set__

    def value(self: Deferred) -> object:
        found = kept(self)
        if found is _UNREAD:
            found = read(_answer_of(self))
            keep(self, found)
        return found

    return value
