"""Idempotency keys in the order they were made: UUID version 7 (RFC 9562, section 5.7)."""

import os
import random
import threading
import time

# The tail, all of a UUIDv7 that is not time, version or variant, in two parts: the last group of digits, and all before it.
_HIGH_BITS, _LOW_BITS = 26, 48
_HIGH_END, _LOW_END = 1 << _HIGH_BITS, 1 << _LOW_BITS
_RAND_B_HIGH_BITS = 14  # what of the upper part stands behind the variant, in the same group as that
_RAND_B_HIGH_END = 1 << _RAND_B_HIGH_BITS
_VARIANT = 0b10 << _RAND_B_HIGH_BITS


class _Generator:
    """Makes rising UUIDv7s: a new random tail each millisecond, a random step within one (RFC 9562, 6.2, method 2)."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the past: a forked child must not go on from its parent's tail, nor wait for a lock nobody holds."""
        self._lock = threading.Lock()
        self._unix_ms = 0
        self._high = self._low = 0
        # All before `_low`, as text: it is the same for nearly every id of a millisecond.
        self._head = ""
        # What tells processes apart is the tail, from the system: a step within a millisecond may come from a cheaper source.
        self._step_bits = random.Random().getrandbits  # noqa: S311

    def next(self) -> str:
        """Return an id that sorts after every id that this process has made, even when the clock is set back."""
        with self._lock:
            unix_ms = time.time_ns() // 1_000_000
            if unix_ms > self._unix_ms:
                self._begin(unix_ms)
            else:
                self._low += 1 + self._step_bits(32)
                if self._low >= _LOW_END:
                    self._carry()
            return f"{self._head}{self._low:012x}"

    def _begin(self, unix_ms: int) -> None:
        """Draw a new tail for a millisecond."""
        self._unix_ms = unix_ms
        self._high, self._low = divmod(_random_bits(_HIGH_BITS + _LOW_BITS), _LOW_END)
        self._write_head()

    def _carry(self) -> None:
        """Go on where a step has gone past the last of `_low`; past the last of the tail, in the next millisecond."""
        self._high += 1
        self._low -= _LOW_END
        if self._high == _HIGH_END:
            self._begin(self._unix_ms + 1)
        else:
            self._write_head()

    def _write_head(self) -> None:
        digits = f"{self._unix_ms:012x}"
        rand_a, rand_b_high = divmod(self._high, _RAND_B_HIGH_END)
        self._head = f"{digits[:8]}-{digits[8:]}-7{rand_a:03x}-{_VARIANT | rand_b_high:04x}-"


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
    return _generator.next()
