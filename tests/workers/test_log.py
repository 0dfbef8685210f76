"""The log of calls, and of several processes in one pipe."""

import json
from datetime import UTC, datetime
from select import PIPE_BUF

from hypothesis import given
from hypothesis import strategies as st

from meterd_server.logs import Call, CallLog, event_of, json_line


class Pipe:
    """Keeps what is written between one flush and the next."""

    def __init__(self):
        self.written = [""]

    def write(self, text):
        self.written[-1] += text

    def flush(self):
        self.written.append("")


async def test_lines_stay_whole():
    """Calls are written in whole lines, as many at a time as a pipe takes in one piece; a longer line alone."""
    pipe = Pipe()
    log = CallLog(pipe, lambda call: call.user)
    users = ["x" * (PIPE_BUF - 1), *(f"user-{number}" for number in range(1_000)), "y" * 2 * PIPE_BUF, "z"]
    for user in users:
        log.note("Check", user, "OK", 0.001)
    log.flush()
    assert "".join(f"{user}\n" for user in users) == "".join(pipe.written)
    assert all(piece.endswith("\n") for piece in pipe.written if piece)
    assert [2 * PIPE_BUF + 1] == [len(piece) for piece in pipe.written if len(piece) > PIPE_BUF]
    assert len(pipe.written) < 10


@given(
    st.builds(Call, st.integers(0, 2**52), st.just("meterd.v1.X/Y"), st.text(), st.just("OK"), st.floats(0, 1_000_000))
)
def test_a_call_as_json(call):
    """A line says what the event says, field by field and in its order, whatever the user is called, in plain ASCII."""
    line = json_line(call)
    assert line.isascii()
    assert [*event_of(call).items()] == [*json.loads(line).items()]
    assert call.time_us == round(datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp() * 1e6)
    assert datetime.fromisoformat(event_of(call)["timestamp"]).tzinfo is UTC
