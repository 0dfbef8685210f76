"""A caller who breaks the rules, and the daemon's log."""

from prove import http2
from prove.http2 import Connection, frame


def test_a_caller_writes_nothing_into_the_log(run_daemon):
    """What a caller says in HTTP/2 itself does not get into the log: it could look like any line there."""
    daemon = run_daemon()
    before = daemon.log_text()
    with Connection(daemon.address) as connection:
        connection.send(
            frame(http2.GOAWAY, 0, 0, b"\0\0\0\0" + b"\0\0\0\2" + b'\n{"event": "forged", "level": "error"}\n')
        )
        assert connection.is_heard()
    with Connection(daemon.address) as connection:
        connection.call(
            "/meterd.v1.MeteringService/Check", b"", headers=http2.request_headers("/x", grpc_timeout="never")
        )
        assert connection.is_heard()
    assert before == daemon.log_text()
