"""What whoever runs a daemon does with its ledger while it is used: verify, back up, export; and what it finds by itself."""

import itertools
import json
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import contextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import meterd as client_package

from .process import environment, meterd, wait_until

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING


@contextmanager
def load(address, users=20):
    """Have costs recorded all the while; yields a list of what was acknowledged."""
    acknowledged = []
    stopping = threading.Event()

    def record(thread):
        with client_package.Client(address) as client:
            for number in itertools.count():
                if stopping.is_set():
                    return
                recorded = client.record_cost(f"user {thread}-{number % users}", 1, request_id=f"{thread}-{number}")
                acknowledged.append((recorded.entry.user_id, recorded.entry.version))

    threads = [threading.Thread(target=record, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(acknowledged) > 200, "200 costs")
        yield acknowledged
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def done(result):
    """Return what a command that succeeded has printed."""
    assert (0, "") == (result.returncode, result.stderr)
    return result.stdout


@pytest.mark.parametrize("options", [(), ("--workers", "1")], ids=["alone", "worker"])
def test_while_it_is_used(run_daemon, tmp_path, options):
    """Under load a live ledger adds up, and a backup and an export hold whatever was acknowledged before they began."""
    daemon = run_daemon(options=options)
    with load(daemon.address) as acknowledged:
        assert "adds up: 80 users, " in done(meterd(tmp_path, "verify", "--address", daemon.address))
        before = list(acknowledged)
        done(meterd(tmp_path, "backup", tmp_path / "backup", "--db", daemon.db))
        done(meterd(tmp_path, "export", tmp_path / "live", "--address", daemon.address))
        done(meterd(tmp_path, "export", tmp_path / "file", "--db", daemon.db))
    done(meterd(tmp_path, "verify", "--db", tmp_path / "backup"))
    done(meterd(tmp_path, "restore", tmp_path / "backup", "--db", tmp_path / "restored"))
    done(meterd(tmp_path, "export", tmp_path / "restored.jsonl", "--db", tmp_path / "restored"))
    for name in ("live", "file", "restored.jsonl"):
        rows = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        keys = [(row["user_id"], int(row["version"])) for row in rows]
        assert set(before) <= set(keys), name
        assert len(keys) == len(set(keys)), name
    assert 0 == daemon.stop()
    done(meterd(tmp_path, "verify", "--db", daemon.db))


@pytest.mark.parametrize("times", [1, 2_000], ids=["little", "much"])
def test_a_reader_that_goes_away(daemon, client, tmp_path, times):
    """Who has seen enough of an export is no reason for a traceback, be it at the first page or at the end."""
    client.record_cost("reader", 1)
    command = [sys.executable, "-m", "meterd_server", "export", *["--user", "reader"] * times]
    ends, gone = os.pipe()
    os.close(ends)
    process = subprocess.run(
        [*command, "--address", daemon.address],
        env=environment(tmp_path),
        stdout=gone,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(gone)
    assert (1, b"") == (process.returncode, process.stderr)


def _drift(address):
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service="meterd.v1.drift")
        return health_pb2_grpc.HealthStub(channel).Check(request, timeout=20).status


@pytest.mark.parametrize("options", [(), ("--workers", "1")], ids=["alone", "worker"])
def test_drift(run_daemon, tmp_path, options):
    """An account that was changed behind the daemon's back is in its log and health, and in what verify says; calls go on."""
    daemon = run_daemon(options=options)
    with client_package.Client(daemon.address) as client:
        client.record_funding("ada", 100)
    assert SERVING == _drift(daemon.address)
    assert 0 == daemon.stop()
    connection = sqlite3.connect(daemon.db)
    connection.execute("UPDATE account SET funded_microcents = 1000000")
    connection.commit()
    connection.close()
    daemon.start()
    wait_until(lambda: _drift(daemon.address) == NOT_SERVING, "drift in health")
    (line,) = [line for line in daemon.log() if line["level"] == "error"]
    assert "user 'ada', version 1: balance_microcents" in line["event"]
    with client_package.Client(daemon.address) as client, grpc.insecure_channel(daemon.address) as channel:
        assert client.check("ada")
        overall = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
        assert SERVING == overall.status
    result = meterd(tmp_path, "verify", "--address", daemon.address)
    assert 1 == result.returncode
    assert "user 'ada', version 1: balance_microcents" in result.stderr


def test_without_drift_checks(run_daemon):
    """Who does not want them has a daemon that does not claim to look."""
    daemon = run_daemon(options=("--no-drift-checks",))
    with pytest.raises(grpc.RpcError) as caught:
        _drift(daemon.address)
    assert grpc.StatusCode.NOT_FOUND == caught.value.code()
