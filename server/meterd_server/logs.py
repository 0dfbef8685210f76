"""Structured logs on stderr: one JSON object a line, or aligned text for a terminal."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
from typing import TYPE_CHECKING, Any, Literal

import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor

FLUSH_SECONDS = 0.1
"""How long a line about a call may wait for others before they are written together."""


class _Lines(io.TextIOWrapper):
    """Text that is written a moment later, many lines at once: a write for every call costs the event loop its turn."""

    _due: asyncio.TimerHandle | None = None

    def flush(self) -> None:
        """Write within FLUSH_SECONDS, or at once where no event loop runs."""
        if self._due is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self.flush_now()
            else:
                self._due = loop.call_later(FLUSH_SECONDS, self.flush_now)

    def flush_now(self) -> None:
        """Write what is waiting."""
        self._due = None
        super().flush()


class _Handler(logging.StreamHandler[_Lines]):
    """The standard library's records: rare, and worth having on disk even if the process dies the next moment."""

    def flush(self) -> None:
        self.stream.flush_now()


def configure(level: str, style: Literal["auto", "json", "console"]) -> None:
    """Send structlog's and the standard library's records to stderr in one form, from `level` up."""
    number = logging.getLevelNamesMapping()[level.upper()]
    lines = _Lines(io.BufferedWriter(io.FileIO(sys.stderr.fileno(), "w", closefd=False)), encoding="utf-8")
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    encode = json.JSONEncoder(default=repr).encode

    def serialize(event: object, **_: Any) -> str:  # noqa: ANN401 -- options of json.dumps that no line of ours needs
        return encode(event)

    renderer: Processor = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer(serialize)
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(lines),
        cache_logger_on_first_use=True,
    )
    handler = _Handler(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared, structlog.processors.format_exc_info],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    # asyncio and aiosqlite say at debug what is of no use to anyone but their authors.
    for name in ("asyncio", "aiosqlite"):
        logging.getLogger(name).setLevel(max(number, logging.INFO))
