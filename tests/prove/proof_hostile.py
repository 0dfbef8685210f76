"""Bytes that no honest caller sends, to a real daemon: it answers or hangs up, serves everybody else, and does not grow."""

import random
from pathlib import Path

from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import meterd
from e2e.process import Daemon
from meterd.v1 import admin_pb2, ledger_pb2, metering_pb2, pricing_pb2
from prove import damage, wire_attacks
from prove.http2 import Answer, Connection, message
from prove.proofs import Round, proof

INPUTS = 1_000
CALLS_AT_ONCE = 50
GROWTH_MIB_MAX = 64
FLOODED_MIB_MAX = 192
"""Floods of headers and of resets take 100 MiB for a moment, which the allocator keeps; it stays at that, however many follow."""
LEAKS = ("Traceback", "Error parsing", "Exception", "DecodeError", "google.protobuf", ".py", "/home", "sqlite")
NEVER = {2: "UNKNOWN", 13: "INTERNAL", 15: "DATA_LOSS"}
"""Codes that would mean that something got out which nobody had thought of."""

SERVICES = [
    module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (metering_pb2, "MeteringService"),
        (ledger_pb2, "LedgerService"),
        (pricing_pb2, "PricingService"),
        (admin_pb2, "AdminService"),
        (health_pb2, "Health"),
        (reflection_pb2, "ServerReflection"),
    )
]
METHODS = [
    (f"/{service.full_name}/{method.name}", method.input_type, method.server_streaming and not method.client_streaming)
    for service in SERVICES
    for method in service.methods
]
"""Path, request, and whether it goes on answering for as long as it is listened to."""


def memory_mib(pid: int) -> float:
    """How much memory a process has in use."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def _check_answer(answer: Answer) -> None:
    assert answer.status is not None or answer.reset is not None, "the call ended without a status"
    assert answer.status not in NEVER, f"{NEVER[answer.status]}: {answer.message}"
    assert not any(leak in answer.message for leak in LEAKS), f"the answer tells too much: {answer.message}"


def is_served(client: meterd.Client, daemon: Daemon) -> None:
    """Everybody else is served, and what the daemon has to say of errors is nothing."""
    assert client.record_cost("witness", 1).entry.amount_microcents == -1
    errors = [line for line in daemon.log() if line["level"] == "error"]
    assert errors == [], f"the daemon has logged {errors[0]}"


@proof("hostile-messages", "callers send bytes that are no proper message", rounds=(1, 15, 5_000))
def hostile_messages(round_: Round) -> None:
    """Every call ends with a status that is documented, whatever its message was."""
    dice = random.Random(round_.seed)
    with Daemon(round_.folder, options=["--log-level", "warning"]) as daemon, meterd.Client(daemon.address) as client:
        is_served(client, daemon)
        before = memory_mib(daemon.pid)
        for _ in range(INPUTS // CALLS_AT_ONCE):
            with Connection(daemon.address) as connection:
                kinds = {}
                for _ in range(CALLS_AT_ONCE):
                    kind = dice.choice([*damage.KINDS])
                    path, descriptor, goes_on = dice.choice(METHODS)
                    body = message(damage.KINDS[kind](dice, descriptor))
                    kinds[connection.call(path, body, once=goes_on)] = (kind, path, body)
                connection.wait(CALLS_AT_ONCE)
                for stream, (kind, path, body) in kinds.items():
                    with round_.fault(kind, f"to {path}: {body.hex()}"):
                        _check_answer(connection.answers[stream])
            is_served(client, daemon)
        grown = memory_mib(daemon.pid) - before
        assert grown < GROWTH_MIB_MAX, f"it has grown by {grown:.0f} MiB"
        assert daemon.stop() == 0


@proof("hostile-frames", "callers break the rules of HTTP/2 and gRPC", rounds=(1, 10, 5_000))
def hostile_frames(round_: Round) -> None:
    """The daemon answers, resets or hangs up, and other connections notice nothing."""
    dice = random.Random(round_.seed)
    with Daemon(round_.folder, options=["--log-level", "warning"]) as daemon, meterd.Client(daemon.address) as client:
        is_served(client, daemon)
        before = memory_mib(daemon.pid)
        for number in range(INPUTS // 2):
            kind = dice.choice([*wire_attacks.KINDS])
            with round_.fault(kind):
                wire_attacks.KINDS[kind](dice, daemon.address)
            if number % 50 == 0:
                is_served(client, daemon)
        is_served(client, daemon)
        grown = memory_mib(daemon.pid) - before
        assert grown < FLOODED_MIB_MAX, f"it has grown by {grown:.0f} MiB"
        assert daemon.stop() == 0
