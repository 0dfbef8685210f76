"""`python -m meterd_server.load ADDRESS '{"kind": "cost"}'`: one load in a process of its own; prints its figures as JSON."""

import asyncio
import json
import sys

from meterd_server.load import Load, run


def main() -> None:
    """Run the load that the arguments name."""
    figures = asyncio.run(run(sys.argv[1], Load(**json.loads(sys.argv[2]))))
    sys.stdout.write(json.dumps(figures._asdict()) + "\n")


if __name__ == "__main__":
    main()
