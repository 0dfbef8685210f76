"""`meterd serve` that waits for a hung worker no longer than a test can: `python -m e2e.impatient_daemon serve ...`."""

from meterd_server import __main__ as program
from meterd_server.workers import child

if __name__ == "__main__":
    child._SILENT_BEATS_MAX = 5
    program.main()
