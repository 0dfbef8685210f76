"""The command `meterd`: runs the daemon, asks it questions, and shows what it can do."""

from meterd_server.cli.app import app

__all__ = ["app"]
