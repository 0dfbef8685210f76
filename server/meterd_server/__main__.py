"""The entry point of the command `meterd` and of `python -m meterd_server`."""

import os
import sys
import traceback
from pathlib import Path

_OWN_PACKAGES = ("meterd", "meterd_server")
_SERVER_EXTRA_MISSING = 2
_FAULT = 70
_INTERRUPTED = 130


# gRPC reads it when it is loaded. Its newer listener hands every event from thread to thread once more than the one before it:
# without it an empty call costs a sixth less. What the user has set wins.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
# It writes lines of its own to stderr, and what a caller says into them as it is: whole lines that look like the daemon's, too.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def main() -> None:
    """Run the command line and exit with its code; nothing ends in a traceback.

    Installed without the extra `[server]`, the command says how to get it and exits 2: the base is the light client.
    """
    sys.exit(_run())


def _run() -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that cannot show a character gets another one, not an exception.
            stream.reconfigure(errors="replace")
    try:
        from meterd_server.cli import app  # noqa: PLC0415 - needs the extra, whose absence is reported below

        app(prog_name="meterd")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in _OWN_PACKAGES:
            return _fault(error)
        return _complain("the command needs the server extra: pip install 'meterd[server]'", _SERVER_EXTRA_MISSING)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:
        return _fault(error)
    return 0


def _fault(error: Exception) -> int:
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    return _complain(f"internal fault, please report it: {type(error).__name__}: {error} ({where})", _FAULT)


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"meterd: {message}\n")
    return code


if __name__ == "__main__":
    main()
