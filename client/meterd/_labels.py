"""The labels of an entry: a mapping that cannot be changed."""

from collections.abc import Iterator, Mapping


class Labels(Mapping[str, str]):
    """An immutable, hashable mapping; unlike `types.MappingProxyType` it can be pickled and deep-copied."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, str]) -> None:
        self._items = dict(items)

    def __getitem__(self, key: str) -> str:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)
