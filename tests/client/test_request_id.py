"""Idempotency keys: valid UUIDv7, rising, unique across threads and forks."""

import os
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

import meterd
from meterd import _request_id

FORK = """
import os
from meterd import _request_id as r
r.time = type("Clock", (), {"time_ns": staticmethod(lambda: 10**18)})
r._random_bits, real = lambda count: 5, r._random_bits
r.new_request_id()
r._random_bits = real
r._generator._lock.acquire()  # as if another thread were inside at the fork
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, r.new_request_id().encode())
    os._exit(0)
r._generator._lock.release()
print(os.read(reader, 36).decode(), r.new_request_id())
"""


def test_it_is_a_uuid7():
    """The text has 36 characters, version 7, the RFC's variant, and the time now in its first 48 bits."""
    before_ms = time.time_ns() // 1_000_000
    text = meterd.new_request_id()
    after_ms = time.time_ns() // 1_000_000
    parsed = uuid.UUID(text)
    assert (36, text, 7, uuid.RFC_4122) == (len(text), str(parsed), parsed.version, parsed.variant)
    assert before_ms <= (parsed.int >> 80) <= after_ms + 1


def test_ids_rise():
    """Each id sorts after the one before, within a millisecond too."""
    ids = [meterd.new_request_id() for _ in range(10_000)]
    assert sorted(set(ids)) == ids


def test_ids_rise_when_the_clock_goes_back(monkeypatch):
    """A clock that is set back does not set the ids back."""
    times_ms = iter([5_000, 4_000, 3_000, 6_000])
    monkeypatch.setattr(_request_id.time, "time_ns", lambda: next(times_ms) * 1_000_000)
    generator = _request_id._Generator()
    ids = [generator.next() for _ in range(4)]
    assert sorted(set(ids)) == ids
    assert [5_000, 5_000, 5_000, 6_000] == [uuid.UUID(each).int >> 80 for each in ids]


@pytest.mark.parametrize(
    ("high", "high_after", "ms_after"),
    [(7 << 14, 7 << 14 | 1, 5_000), (7 << 14 | 0x3FFF, 8 << 14, 5_000), ((1 << 26) - 1, None, 5_001)],
)
def test_a_full_tail(monkeypatch, high, high_after, ms_after):
    """Where the tail's lower part has no larger number left, the upper goes up; past its last the next millisecond begins early."""
    monkeypatch.setattr(_request_id.time, "time_ns", lambda: 5_000 * 1_000_000)
    generator = _request_id._Generator()
    first = generator.next()
    generator._high, generator._low = high, (1 << 48) - 1
    second, third = uuid.UUID(generator.next()), uuid.UUID(generator.next())
    assert ([5_000, ms_after], 7, uuid.RFC_4122) == (
        [uuid.UUID(first).int >> 80, second.int >> 80],
        second.version,
        second.variant,
    )
    assert second < third
    assert high_after in (None, (second.int >> 64 & 0xFFF) << 14 | second.int >> 48 & 0x3FFF)


def test_threads_never_share_an_id():
    """Ids made in many threads at once are all different."""
    with ThreadPoolExecutor(8) as threads:
        made = threads.map(lambda _: [meterd.new_request_id() for _ in range(1_000)], range(8))
        assert 8_000 == len({each for ids in made for each in ids})


def test_a_fork_starts_anew():
    """A forked child draws its own random bits, and does not wait for a lock that another thread held."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    printed = subprocess.check_output([sys.executable, "-c", FORK], env=environment, text=True, timeout=60)
    child, parent = printed.split()
    # Both go on in the same millisecond: from a tail of 5 plus a 32-bit step had the child not started anew.
    assert uuid.UUID(parent).int & (1 << 62) - 1 < 1 << 33
    assert uuid.UUID(child).int & (1 << 62) - 1 >= 1 << 33
