"""What is awaited, or entered, as the caller likes: `await client.reserve(...)` and `async with client.reserve(...) as hold`."""

from collections.abc import Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar


class _Entered(Protocol):
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


OpenedT = TypeVar("OpenedT", bound=_Entered)


class Opening(AbstractAsyncContextManager[OpenedT, None], Generic[OpenedT]):
    """Awaited it gives what was opened; entered it opens it and enters that. One of both, once."""

    def __init__(self, coroutine: Coroutine[Any, Any, OpenedT]) -> None:
        # Made, not started: one that is forgotten warns that it was never awaited, as any other.
        self._coroutine = coroutine
        self._opened: OpenedT | None = None

    def __await__(self) -> Generator[Any, Any, OpenedT]:
        return self._coroutine.__await__()

    async def __aenter__(self) -> OpenedT:
        self._opened = await self._coroutine
        return await self._opened.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(kind, error, traceback)
