"""Many callers of one client at once, threads or tasks, behind one face: every call is started and gives a Future."""

import asyncio
import contextlib
import select
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import meterd
from meterd._gathering import IN_FLIGHT_MAX

WAIT_SECONDS = 30


class Threads:
    """Callers of a `meterd.Client`, each in a thread of its own."""

    def __init__(self, address, **options):
        self.client = meterd.Client(address, **options)
        self._pool = ThreadPoolExecutor(1_100)

    def start(self, method, *args, **options):
        return self._pool.submit(getattr(self.client, method), *args, **options)

    def close(self):
        self.client.close()

    def exchange(self):
        return self.client._connection.exchange()

    def end(self):
        self.client.close()
        self._pool.shutdown()


class Tasks:
    """Callers of a `meterd.AsyncClient`, each in a task of its own, in a loop that runs in a thread."""

    def __init__(self, address, **options):
        self.client = meterd.AsyncClient(address, **options)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def start(self, method, *args, **options):
        return asyncio.run_coroutine_threadsafe(getattr(self.client, method)(*args, **options), self.loop)

    def close(self):
        asyncio.run_coroutine_threadsafe(self.client.close(), self.loop).result(WAIT_SECONDS)

    def exchange(self):
        return self.client._exchange

    def end(self):
        self.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def waiting(callers):
    """How many callers wait for their turn."""
    return len(callers.exchange()._gathering._waiting)


def until(condition):
    """Wait until a condition holds."""
    ends = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < ends
        select.select([], [], [], 0.001)


@contextlib.contextmanager
def gathering(callers, daemon):
    """Keep as many calls under way as may be, so that what is started inside gathers; it goes at the end."""
    daemon.released.clear()
    held = []
    for number in range(IN_FLIGHT_MAX):
        held.append(callers.start("check", f"held-{number}"))
        daemon.wait_for_call()
    yield held
    daemon.released.set()


def start_in_order(callers, *calls):
    """Start calls, each after the one before waits for its turn; their futures."""
    futures = []
    for method, args, options in calls:
        waited = waiting(callers)
        futures.append(callers.start(method, *args, **options))
        until(lambda waited=waited: waiting(callers) == waited + 1)
    return futures
