"""Values whose fields are made from the daemon's answer when they are first looked at.

Most callers look at one or two fields of what they get, and making them all would be a third of what a coalesced call costs.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

set_field = object.__setattr__
"""Sets a field of a frozen value that is being made."""


class Deferred:
    """The base of a frozen dataclass with slots; a field that is not set is read from the answer, once.

    An answer that came in a batch is kept as bytes of its own: as a message it would keep the whole batch.
    """

    __slots__ = ("_answer", "_read")

    _answer: object
    _read: Callable[[Any, str], object]

    if not TYPE_CHECKING:  # every name would be an attribute

        def __getattr__(self, name: str) -> object:
            # Python asks here only for what is not there: a field that was not looked at yet, or no field at all.
            if name not in self.__dataclass_fields__:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            value = self._read(self._answer, name)
            set_field(self, name, value)
            return value


DeferredT = TypeVar("DeferredT", bound=Deferred)
AnswerT = TypeVar("AnswerT")


def deferred(kind: type[DeferredT], answer: AnswerT, read: Callable[[AnswerT, str], object]) -> DeferredT:
    """Return a value of a kind whose fields are `read(answer, name)`, but for those that are given by `set_field`."""
    value = kind.__new__(kind)
    set_field(value, "_answer", answer)
    set_field(value, "_read", read)
    return value
