"""When to try again, and how long to wait before: decided here, slept elsewhere."""

import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from meterd.errors import Error, OverloadedError, UnavailableError

_logger = logging.getLogger("meterd")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Tries a call again, with the same request_id, while the daemon is unavailable or overloaded.

    It waits a random time up to `initial_backoff_seconds`, then up to twice that, and so on to `max_backoff_seconds`;
    on top of what the daemon asked for, if it did. It never waits past the call's timeout. `RetryPolicy(attempts=1)`
    never retries.

    Raises ValueError for fewer than 1 attempt or a backoff that is negative or not finite.
    """

    attempts: int = 5
    """How often a call is tried in all."""
    initial_backoff_seconds: float = 0.05
    """The most that is waited before the second attempt."""
    max_backoff_seconds: float = 2.0
    """The most that is waited before any attempt, unless the daemon asked for more."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, not {self.attempts}")
        for name in ("initial_backoff_seconds", "max_backoff_seconds"):
            seconds = getattr(self, name)
            if not (math.isfinite(seconds) and seconds >= 0):
                raise ValueError(f"{name} must be a number of seconds >= 0, not {seconds}")


DEFAULT_RETRY = RetryPolicy()


class Attempts:
    """The attempts of one call: counts them and keeps their common deadline. `timeout_seconds` has passed `check_timeout`."""

    __slots__ = ("_clock", "_failed", "_jitter", "_policy", "deadline")

    def __init__(
        self,
        policy: RetryPolicy,
        timeout_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._jitter = jitter
        self.deadline = clock() + timeout_seconds
        """When the last attempt ends, by the clock."""
        self._failed = 0

    def remaining_seconds(self) -> float:
        """Return what is left for the next attempt, >= 0."""
        return max(0.0, self.deadline - self._clock())

    def pause_seconds_after(self, error: Error) -> float | None:
        """Return how long to wait before the next attempt; None when `error` is the caller's."""
        self._failed += 1
        if not isinstance(error, UnavailableError | OverloadedError) or self._failed >= self._policy.attempts:
            return None
        pause_seconds = (error.retry_after_seconds or 0.0) + self._backoff_seconds()
        if pause_seconds >= self.remaining_seconds():
            return None
        _logger.debug("attempt %d failed, next in %.3f s: %s", self._failed, pause_seconds, error)
        return pause_seconds

    def _backoff_seconds(self) -> float:
        # Full jitter: clients that failed together must not come back together. A float's exponent ends, hence 64.
        ceiling = self._policy.initial_backoff_seconds * 2.0 ** min(self._failed - 1, 64)
        return self._jitter() * min(ceiling, self._policy.max_backoff_seconds)


def check_timeout(timeout_seconds: float) -> float:
    """Return `timeout_seconds`; raise ValueError when it is not positive and finite."""
    if not (math.isfinite(timeout_seconds) and timeout_seconds > 0):
        raise ValueError(f"timeout_seconds must be a number of seconds > 0, not {timeout_seconds}")
    return timeout_seconds
