"""However a daemon ends, what it has started is stopped first."""

import asyncio

import pytest

from meterd_server import daemon
from meterd_server.config import load_settings
from meterd_server.rpc.handlers import no_log
from meterd_server.store.sqlite import SqliteStore


@pytest.mark.parametrize("fails", ["", "Sweeper", "_Alone", "Ledger"])
async def test_a_part_that_cannot_be_stopped(tmp_path, monkeypatch, fails):
    """Its error is told, and the other parts are stopped all the same, in their order."""
    stopped = []

    def watch(kind, name):
        real = getattr(kind, name)

        async def stop(self):
            stopped.append(kind.__name__)
            await real(self)
            if kind.__name__ == fails:
                raise LookupError(fails)

        monkeypatch.setattr(kind, name, stop)

    for kind in (daemon.Sweeper, daemon._Alone, daemon.Ledger):
        watch(kind, "stop")
    watch(SqliteStore, "close")
    stopping = asyncio.Event()
    stopping.set()
    monkeypatch.setattr(daemon, "stop_on_signals", lambda: stopping)
    monkeypatch.setattr(daemon, "collect_garbage_rarely", lambda: None)
    settings = load_settings({"listen": "127.0.0.1:0", "db": str(tmp_path / "meterd.sqlite3")})
    addresses = []
    served = asyncio.ensure_future(daemon._serve(settings, addresses.append, no_log))
    if fails:
        with pytest.raises(LookupError, match=fails):
            await served
    else:
        assert 0 == await served
    assert 1 == len(addresses)
    # The ledger is stopped with those who may still ask it, and once more by itself.
    assert ["Sweeper", "_Alone", "Ledger", "Ledger", "SqliteStore"] == stopped
