"""Idempotency keys in the order they were made: UUID version 7 (RFC 9562, section 5.7)."""

import os
import random
import threading
import time

_TAIL_BITS = 74  # all of a UUIDv7 that is not time, version or variant
_RAND_B_BITS = 62
_RAND_B_MASK = (1 << _RAND_B_BITS) - 1


class _Generator:
    """Makes rising UUIDv7s: a new random tail each millisecond, a random step within one (RFC 9562, 6.2, method 2)."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the past: a forked child must not go on from its parent's tail, nor wait for a lock nobody holds."""
        self._lock = threading.Lock()
        self._unix_ms = 0
        self._tail = 0
        # What tells processes apart is the tail, from the system: a step within a millisecond may come from a cheaper source.
        self._step_bits = random.Random().getrandbits  # noqa: S311

    def next(self) -> int:
        """Return the 128 bits of an id that sorts after every id that this process has made, even when the clock is set back."""
        with self._lock:
            unix_ms = time.time_ns() // 1_000_000
            if unix_ms > self._unix_ms:
                self._unix_ms, self._tail = unix_ms, _random_bits(_TAIL_BITS)
            else:
                self._tail += 1 + self._step_bits(32)
                if self._tail >> _TAIL_BITS:
                    self._unix_ms, self._tail = self._unix_ms + 1, _random_bits(_TAIL_BITS)
            tail = self._tail
            return (
                self._unix_ms << 80
                | 0x7 << 76
                | tail >> _RAND_B_BITS << 64
                | 0b10 << _RAND_B_BITS
                | tail & _RAND_B_MASK
            )


def _random_bits(count: int) -> int:
    size_bytes = (count + 7) // 8
    return int.from_bytes(os.urandom(size_bytes)) >> (size_bytes * 8 - count)


_generator = _Generator()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_generator.reset)


def new_request_id() -> str:
    """Return a new idempotency key: a UUIDv7 as 36 characters, sorting after all that this process made before.

    Safe to call from any thread and after a fork. Make one yourself to store it beside your own record before the call;
    otherwise the client makes one for you.
    """
    # As str(uuid.UUID(int=...)) writes it, in a quarter of the time.
    digits = f"{_generator.next():032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
