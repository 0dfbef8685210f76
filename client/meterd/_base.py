"""What the blocking and the asyncio client have in common: their settings."""

from collections.abc import Sequence

from meterd._retry import Attempts, RetryPolicy, check_timeout
from meterd._version import __version__

DEFAULT_ADDRESS = "127.0.0.1:50051"

_CHANNEL_OPTIONS: dict[str, str | int] = {
    # Retries are RetryPolicy's: hidden ones underneath would multiply its attempts.
    "grpc.enable_retries": 0,
    # gRPC's own reconnect backoff grows to 2 minutes; a restarted daemon should be found at once.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2_000,
    # A page of 1,000 entries with all the labels they may carry exceeds gRPC's 4 MiB.
    "grpc.max_receive_message_length": 16 * 1024 * 1024,
    "grpc.primary_user_agent": f"meterd-python/{__version__}",
}


class Lifetime:
    """Whether a client is closed: known to all its parts, which then need not know the client."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.closed = False

    def check_open(self) -> None:
        """Raise RuntimeError once it is closed."""
        if self.closed:
            raise RuntimeError(f"this {self._name} is closed; make a new one")


class BaseClient:
    """Holds the settings of a client and whether it is closed; does no I/O."""

    def __init__(
        self,
        address: str,
        timeout_seconds: float,
        retry: RetryPolicy,
        channel_options: Sequence[tuple[str, str | int]],
    ) -> None:
        if address.startswith(("http://", "https://")):
            raise ValueError(f'address must be "host:port" or "unix:/path", not {address!r}')
        self._address = address
        self._timeout_seconds = check_timeout(timeout_seconds)
        self._retry = retry
        self._channel_options = tuple((_CHANNEL_OPTIONS | dict(channel_options)).items())
        self._lifetime = Lifetime(type(self).__name__)

    def _start(self, timeout_seconds: float | None) -> Attempts:
        return Attempts(
            self._retry, self._timeout_seconds if timeout_seconds is None else check_timeout(timeout_seconds)
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address!r})"
