"""A daemon at work: the clients, the commands, other tools, and its log."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from google.rpc import error_details_pb2

import meterd as client_package
from meterd import AsyncClient, Client, EntryKind
from meterd.v1 import metering_pb2
from prove.http2 import Connection, message

from .process import environment, meterd

BUF = Path(sys.executable).with_name("buf")
USD = 100_000_000


def test_the_first_charge(client):
    """Fund, check, charge: the balance is exact and the ledger tells the story."""
    assert not client.check("first")
    client.record_funding("first", 20 * USD, request_id="payment-1")
    assert client.check("first")
    recorded = client.record_cost("first", 5_000, service="chat", labels={"model": "large"})
    assert (20 * USD - 5_000, 2) == (recorded.balance.balance_microcents, recorded.balance.version)
    cost, funding = client.list_entries("first")
    assert recorded.entry == cost
    assert (EntryKind.FUNDING, "payment-1", 20 * USD) == (funding.kind, funding.request_id, funding.amount_microcents)


async def test_the_first_charge_from_asyncio(daemon):
    """The asyncio client sees and does the same."""
    async with AsyncClient(daemon.address) as client:
        await client.record_funding("first-async", 100)
        assert await client.check("first-async", 100)
        with pytest.raises(client_package.InsufficientFundsError) as caught:
            await client.record_cost("first-async", 101, reject_overdraft=True)
        assert 1 == caught.value.shortfall_microcents
        assert [100] == [entry.amount_microcents async for entry in client.list_entries("first-async")]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_unix_socket(run_daemon, tmp_path, workers):
    """A daemon on unix:/PATH answers clients of the same address, also after it was killed and started again."""
    daemon = run_daemon(listen=f"unix:{tmp_path}/meterd.sock", options=["--workers", str(workers)])
    assert f"unix:{tmp_path}/meterd.sock" == daemon.address
    with Client(daemon.address) as client:
        client.record_funding("ada", 5)
    daemon.end()
    daemon.start()
    with Client(daemon.address) as client:
        assert 5 == client.get_balance("ada").balance_microcents


def test_everything_is_there_after_a_restart(run_daemon):
    """After a stop and a start, balances, entries and request ids are as they were."""
    daemon = run_daemon()
    with Client(daemon.address) as client:
        client.record_funding("ada", 1_000, request_id="payment-1", labels={"k": "v"})
        client.record_cost("ada", 300, request_id="job-1", service="chat")
        balance, entries = client.get_balance("ada"), list(client.list_entries("ada"))
    assert 0 == daemon.stop()
    daemon.start()
    with Client(daemon.address) as client:
        assert (balance, entries) == (client.get_balance("ada"), list(client.list_entries("ada")))
        again = client.record_cost("ada", 300, request_id="job-1", service="chat")
        assert (True, entries[0], balance) == (again.replayed, again.entry, again.balance)
        assert 3 == client.record_cost("ada", 1).entry.version


def test_the_commands(daemon):
    """fund, check, charge, balance and entries work against a running daemon, and print JSON that adds up."""

    def run(*arguments, code=0):
        result = meterd(daemon.folder, *arguments, "--address", daemon.address, "--json")
        assert (code, "") == (result.returncode, result.stderr)
        return [json.loads(line) for line in result.stdout.splitlines()]

    (funded,) = run("fund", "cli", "20usd", "--request-id", "payment-1")
    assert (str(20 * USD), False) == (funded["balance"]["balance_microcents"], funded["replayed"])
    assert run("fund", "cli", "20usd", "--request-id", "payment-1")[0]["replayed"]
    (charged,) = run("charge", "cli", "0.0005usd", "--service", "chat", "--label", "model=large")
    assert ("-50000", "COST", {"model": "large"}) == tuple(
        charged["entry"][key] for key in ("amount_microcents", "kind", "labels")
    )
    assert run("check", "cli")[0]["allowed"]
    assert "1" == run("check", "cli", "--minimum", str(20 * USD - 49_999), code=1)[0]["shortfall_microcents"]
    (balance,) = run("balance", "cli")
    assert (str(20 * USD - 50_000), "2") == (balance["balance_microcents"], balance["version"])
    assert ["-50000", str(20 * USD)] == [entry["amount_microcents"] for entry in run("entries", "cli")]


def test_a_command_without_a_daemon(tmp_path):
    """A command that reaches nobody exits 4 and says how to repeat it safely."""
    result = meterd(tmp_path, "charge", "ada", "1", "--address", f"unix:{tmp_path}/nobody", "--timeout", "0.5")
    assert 4 == result.returncode
    assert "--request-id" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_demo(tmp_path):
    """`meterd demo` runs to its end without anything being set up, and exits 0."""
    result = meterd(tmp_path, "demo")
    assert (0, "") == (result.returncode, result.stderr)
    assert result.stdout


def test_a_grpc_tool_without_our_files(daemon, client, tmp_path):
    """Reflection is all that a command-line gRPC tool needs to charge and to read an error."""

    def curl(method, request):
        url = f"http://{daemon.address}/meterd.v1.MeteringService/{method}"
        return subprocess.run(
            [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", "-d", json.dumps(request), url],
            env=environment(tmp_path),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    funding = {"user_id": "buf", "request_id": "payment-1", "amount_microcents": "700"}
    result = curl("RecordFunding", funding)
    assert (0, "") == (result.returncode, result.stderr)
    assert "700" == json.loads(result.stdout)["balance"]["balanceMicrocents"]
    assert 700 == client.get_balance("buf").balance_microcents
    refused = curl("RecordFunding", funding | {"amount_microcents": "701"})
    assert 0 != refused.returncode
    error = json.loads(refused.stderr)
    info = error_details_pb2.ErrorInfo.FromString(base64.b64decode(error["details"][0]["value"] + "=="))
    assert ("already_exists", "REQUEST_ID_REUSED") == (error["code"], info.reason)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_log_has_a_line_for_each_call(run_daemon, workers):
    """One JSON line a call says method, user, code and duration, and never an amount, a label or a request id."""
    daemon = run_daemon(options=["--workers", str(workers)])
    with Client(daemon.address) as client:
        client.record_funding("ada", 123_456_789, request_id="secret-id", labels={"secret-key": "secret-value"})
        with pytest.raises(client_package.InsufficientFundsError):
            client.record_cost("ada", 987_654_321, service="secret-service", reject_overdraft=True)
        with pytest.raises(client_package.InvalidArgumentError):
            client.get_balance("")
        client.check("ada")
    assert 0 == daemon.stop()
    expected = [
        ("meterd.v1.MeteringService/RecordFunding", "ada", "OK"),
        ("meterd.v1.MeteringService/RecordCost", "ada", "FAILED_PRECONDITION"),
        ("meterd.v1.LedgerService/GetBalance", "", "INVALID_ARGUMENT"),
        ("meterd.v1.MeteringService/Check", "ada", "OK"),
    ]
    calls = daemon.log("call")
    assert expected == [(line["method"], line["user"], line["code"]) for line in calls]
    assert all(0 < line["duration_ms"] < 60_000 for line in calls)
    for secret in ("123456789", "987654321", "secret"):
        assert secret not in daemon.log_text()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_caller_who_hangs_up_is_not_in_the_log(run_daemon, workers):
    """Who goes away before its answer has left is no error, and writes nothing into the log but the line of the call."""
    daemon = run_daemon(options=["--workers", str(workers)])
    with Connection(daemon.address, window=0) as connection:
        connection.call(
            "/meterd.v1.MeteringService/Check", message(metering_pb2.CheckRequest(user_id="gone").SerializeToString())
        )
        daemon.wait_for_log('"gone"')
    with Client(daemon.address) as client:
        client.check("witness")
    assert 0 == daemon.stop()
    assert {"info"} == {line["level"] for line in daemon.log()}
