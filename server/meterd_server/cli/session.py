"""One conversation of a client command with the daemon: its options, its connection, and how its failures end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer

import meterd
from meterd_server.cli.exits import Exit, exit_of
from meterd_server.cli.money import AmountError, parse_amount
from meterd_server.cli.output import complain, complain_json

Connect = Callable[[str, float], meterd.Client]
"""Makes a client for an address and a timeout in seconds; a test puts its own into the context's `obj`."""

AddressOption = Annotated[
    str, typer.Option("--address", envvar="METERD_ADDRESS", metavar="HOST:PORT", help="Where the daemon listens.")
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        "--timeout", metavar="SECONDS", min=0.001, max=3600, help="How long a call may take, retries included."
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON; int64 values are strings, as in protobuf's JSON.")
]
RequestIdOption = Annotated[
    str | None,
    typer.Option(
        "--request-id",
        metavar="ID",
        help="The idempotency key: repeat a call with the same one and it is applied once. Default: a new one.",
    ),
]
LabelOption = Annotated[
    list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="A label for reports; may be repeated.")
]

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Target:
    """Where to call, how long to wait, how to print."""

    context: typer.Context
    address: str
    timeout_seconds: float
    as_json: bool

    @contextmanager
    def session(self, request_id: str | None = None) -> Iterator[meterd.Client]:
        """Yield a client, reporting its errors.

        `request_id` is what a person needs to repeat a change whose outcome is unknown; None for a call that changes
        nothing.
        """
        connect: Connect = self.context.obj or _connect
        with self.reporting(request_id), connect(self.address, self.timeout_seconds) as client:
            yield client

    @contextmanager
    def reporting(self, request_id: str | None = None) -> Iterator[None]:
        """Turn a client's errors into a message on stderr and the exit code."""
        try:
            yield
        except meterd.Error as error:
            self._report(error, request_id)
            raise typer.Exit(exit_of(error)) from None
        except UnicodeEncodeError:  # bytes that the shell passed on as they are
            complain("an argument is not UTF-8")
            raise typer.Exit(Exit.USAGE) from None
        except ValueError as error:  # an argument or address that the client itself refuses to send
            complain(str(error))
            raise typer.Exit(Exit.USAGE) from None
        except KeyboardInterrupt:
            if request_id is not None:
                complain(f"interrupted: {_OUTCOME_UNKNOWN} --request-id {request_id}")
            raise typer.Exit(Exit.INTERRUPTED) from None

    def _report(self, error: meterd.Error, request_id: str | None) -> None:
        if self.as_json:
            complain_json(error, request_id)
            return
        complain(self._what_happened(error))
        for field, description in error.field_violations:
            if description not in error.message:
                complain(f"  {field}: {description}")
        if request_id is not None and (advice := _ADVICE.get(type(error))):
            complain(f"{advice} --request-id {request_id}")

    def _what_happened(self, error: meterd.Error) -> str:
        if isinstance(error, meterd.DeadlineExceededError):
            return f"no answer from {self.address} within {self.timeout_seconds:g} s"
        if isinstance(error, meterd.UnavailableError) and not error.reason:
            return f"cannot reach {self.address}: {error.message}"
        return str(error)


_OUTCOME_UNKNOWN = "the outcome is unknown; to repeat it safely add"
_ADVICE: dict[type[meterd.Error], str] = {
    meterd.UnavailableError: _OUTCOME_UNKNOWN,
    meterd.DeadlineExceededError: _OUTCOME_UNKNOWN,
    meterd.InternalError: _OUTCOME_UNKNOWN,
    meterd.OverloadedError: "nothing was changed; try again in a while with",
}
"""What a person may do next, by what went wrong with a change."""


def amount(text: str, name: str) -> int:
    """Return an amount in microcents, or fail as a usage error that names the argument."""
    try:
        return parse_amount(text)
    except AmountError as error:
        raise typer.BadParameter(str(error), param_hint=f"'{name}'") from None


def labels(texts: list[str] | None) -> dict[str, str]:
    """Return `k=v` texts as a mapping, or fail as a usage error."""
    pairs: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="'--label'")
        if key in pairs:
            raise typer.BadParameter(f"{key!r} is given twice", param_hint="'--label'")
        pairs[key] = value
    return pairs


def _connect(address: str, timeout_seconds: float) -> meterd.Client:
    return meterd.Client(address, timeout_seconds=timeout_seconds)
