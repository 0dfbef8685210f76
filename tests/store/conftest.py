"""A store of each engine, and what the tests ask of one."""

import pytest

from meterd_server.store.sqlite import writer
from store.engines import ENGINES
from store.special import Counter


@pytest.fixture(params=ENGINES, ids=lambda engine: engine.name)
def engine(request):
    """Each engine in turn."""
    return request.param


@pytest.fixture
async def open_store(engine, tmp_path):
    """Return a function that opens a store on this test's place; all are closed at the end."""
    stores = []

    async def open_store(**options):
        store = engine.make(tmp_path, **options)
        stores.append(store)
        await store.open()
        return store

    yield open_store
    for store in stores:
        await store.close()


@pytest.fixture
async def store(open_store):
    """Return an empty store of each engine."""
    return await open_store()


@pytest.fixture
def durable(engine):
    """Skip engines whose data ends with the store."""
    if not engine.survives_reopening:
        pytest.skip(f"{engine.name} does not survive reopening")


@pytest.fixture(params=["one store", "reopened"])
async def counter(request, engine, open_store):
    """Return a counter at a store of each engine: one that stays, and one that is opened anew for every batch."""
    reopens = request.param == "reopened"
    if reopens and not engine.survives_reopening:
        pytest.skip(f"{engine.name} does not survive reopening")
    return Counter(open_store, reopens=reopens)


@pytest.fixture
def catch_up(monkeypatch):
    """Return a function that has a SQLite store's account rows catch up when they are so many entries behind."""

    def catch_up(*, behind, every_entries=1):
        monkeypatch.setattr(writer, "REPLAY_ENTRIES_MAX", behind)
        monkeypatch.setattr(writer, "CATCH_UP_EVERY_ENTRIES", every_entries)

    return catch_up
