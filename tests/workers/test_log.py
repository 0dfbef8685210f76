"""The log of several processes in one pipe."""

from select import PIPE_BUF

from meterd_server.logs import CallLog


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
    log = CallLog(pipe, lambda event: event["user"])
    users = ["x" * (PIPE_BUF - 1), *(f"user-{number}" for number in range(1_000)), "y" * 2 * PIPE_BUF, "z"]
    for user in users:
        log.note("Check", user, "OK", 0.001)
    log.flush()
    assert "".join(f"{user}\n" for user in users) == "".join(pipe.written)
    assert all(piece.endswith("\n") for piece in pipe.written if piece)
    assert [2 * PIPE_BUF + 1] == [len(piece) for piece in pipe.written if len(piece) > PIPE_BUF]
    assert len(pipe.written) < 10
