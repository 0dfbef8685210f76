"""Mappings that cannot be changed: the labels of an entry, the quantities of a usage, the prices of a card."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

ValueT = TypeVar("ValueT")


class Frozen(Mapping[str, ValueT]):
    """An immutable, hashable mapping; unlike `types.MappingProxyType` it can be pickled and deep-copied."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, ValueT]) -> None:
        self._items: dict[str, ValueT] = dict(items)

    def __getitem__(self, key: str) -> ValueT:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


class Labels(Frozen[str]):
    """A caller's own key-value pairs."""

    __slots__ = ()


class Numbers(Frozen[int]):
    """Whole numbers by meter: units, or picocents for each."""

    __slots__ = ()
