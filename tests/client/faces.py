"""The two clients behind one face, so that every scenario runs against both."""

import asyncio
import functools
import inspect

import meterd


class Blocking:
    """`meterd.Client` as it is; its pauses are written down instead of slept."""

    def __init__(self, *args, **options):
        self.client = meterd.Client(*args, **options)
        self.pauses = []
        self.client._sleep = self.pauses.append

    def __getattr__(self, name):
        return getattr(self.client, name)

    def fire(self, callback):
        """Let a timer go off."""
        callback()

    def shut(self):
        self.client.close()


class Asyncio:
    """`meterd.AsyncClient` with every call run to its end in one event loop of its own; so is what it opens."""

    def __init__(self, *args, **options):
        self.client = meterd.AsyncClient(*args, **options)
        self.runner = asyncio.Runner()
        self.pauses = []
        self.client._sleep = self._pause

    async def _pause(self, seconds):
        self.pauses.append(seconds)

    def __getattr__(self, name):
        return lambda *args, **options: self.run(getattr(self.client, name)(*args, **options))

    def run(self, awaitable):
        return self.runner.run(awaited(awaitable))

    def fire(self, callback):
        """Let a timer go off, and what it starts run to its end."""

        async def go_off():
            callback()
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

        self.run(go_off())

    def list_entries(self, *args, **options):
        return self._iterate(self.client.list_entries(*args, **options))

    def list_balances(self, *args, **options):
        return self._iterate(self.client.list_balances(*args, **options))

    def list_rate_cards(self, *args, **options):
        return self._iterate(self.client.list_rate_cards(*args, **options))

    def _iterate(self, values):
        while (value := self.run(anext(values, None))) is not None:
            yield value

    def reserve(self, *args, **options):
        return Opened(self, self.client.reserve(*args, **options))

    def reserve_usage(self, *args, **options):
        return Opened(self, self.client.reserve_usage(*args, **options))

    def meter(self, *args, **options):
        return Opened(self, self.client.meter(*args, **options))

    def costs(self, *args, **options):
        """Decorate a plain function as the coroutine function that does the same."""
        decorate = self.client.costs(*args, **options)

        def decorated(function):
            @functools.wraps(function)
            async def coroutine_function(*args, **options):
                return function(*args, **options)

            metered = decorate(coroutine_function)
            return lambda *args, **options: self.run(metered(*args, **options))

        return decorated

    def shut(self):
        self.run(self.client.close())
        self.runner.close()


async def awaited(awaitable):
    """Await what need not be a coroutine."""
    return await awaitable


class Opened:
    """An AsyncHold or AsyncMeterSession with every call run to its end."""

    def __init__(self, asyncio_client, opening):
        self._client = asyncio_client
        self._opened = asyncio_client.run(opening)

    def __getattr__(self, name):
        value = getattr(self._opened, name)
        if not inspect.iscoroutinefunction(value):
            return value
        return lambda *args, **options: self._client.run(value(*args, **options))

    def __enter__(self):
        assert self._client.run(self._opened.__aenter__()) is self._opened
        return self

    def __exit__(self, *error):
        return self._client.run(self._opened.__aexit__(*error))

    def __iter__(self):
        values = aiter(self._opened)
        while (value := self._client.run(anext(values, None))) is not None:
            yield value

    def __repr__(self):
        return repr(self._opened)
