"""More calls at once than a daemon takes."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import meterd
from meterd.v1 import metering_pb2
from prove.http2 import Connection, message
from prove.many_callers import NO_DELAY, retry_seconds

RECORD_COST = "/meterd.v1.MeteringService/RecordCost"
CONNECTIONS = 4
CALLS = 750
"""Of each connection: together three times what a process works on, and less than gRPC keeps waiting."""


def _call_all(connection, number):
    """Send all of a connection's calls without waiting for an answer."""
    for call in range(CALLS):
        request = metering_pb2.RecordCostRequest(user_id="ada", request_id=f"{number}-{call}", cost_microcents=1)
        connection.call(RECORD_COST, message(request.SerializeToString()))


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_too_much_is_overloaded(run_daemon, workers):
    """Every call is carried out, or OVERLOADED, not started, and told when to come again; after that it is as before."""
    daemon = run_daemon(options=["--workers", str(workers)])
    connections = [Connection(daemon.address) for _ in range(CONNECTIONS)]
    for number, connection in enumerate(connections):
        assert connection.is_heard()
        _call_all(connection, number)
    with grpc.insecure_channel(daemon.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert (
            health_pb2.HealthCheckResponse.SERVING == health.Check(health_pb2.HealthCheckRequest(), timeout=30).status
        )
    for connection in connections:
        connection.wait(CALLS, 60)
    answers = [answer for connection in connections for answer in connection.answers.values()]
    assert {0, 8} == {answer.status for answer in answers}
    assert NO_DELAY not in {retry_seconds(answer) for answer in answers if answer.status == 8}
    done = sum(answer.status == 0 for answer in answers)
    with meterd.Client(daemon.address) as client:
        assert done + 1 == client.record_cost("ada", 1).balance.version
    assert [] == [line for line in daemon.log() if line["level"] == "error"]
    for connection in connections:
        connection.socket.close()
