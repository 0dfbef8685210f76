"""The command that runs the daemon: a flag for every setting, problems in one line each."""

from pathlib import Path
from typing import Annotated, Any

import typer

from meterd_server.cli.exits import Exit
from meterd_server.cli.output import complain
from meterd_server.config import ConfigError, Settings, flag, load_settings, settings_warnings, variable
from meterd_server.errors import StartupError


def _setting(key: str, metavar: str | None = None) -> Any:  # noqa: ANN401 - typer.Option's own type
    """Return the option of a setting, documented by the setting itself."""
    field = Settings.model_fields[key]
    default = field.get_default(call_default_factory=True, validated_data={})
    names, shown = flag(key), str(default)
    if isinstance(default, bool):
        names, shown = f"{flag(key)}/{flag(f'no_{key}')}", shown.lower()
    help_text = f"{field.description} [{variable(key)}; default: {shown}]"
    return typer.Option(names, metavar=metavar, help=help_text, show_default=False)


def serve(
    *,
    listen: Annotated[str | None, _setting("listen", "ADDRESS")] = None,
    db: Annotated[str | None, _setting("db", "PATH|URL")] = None,
    db_connections: Annotated[int | None, _setting("db_connections", "N")] = None,
    insecure: Annotated[bool | None, _setting("insecure")] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A TOML file of settings [METERD_CONFIG; default: meterd/meterd.toml in your configuration folder].",
            show_default=False,
        ),
    ] = None,
    prices: Annotated[str | None, _setting("prices", "FILE")] = None,
    log_level: Annotated[str | None, _setting("log_level", "LEVEL")] = None,
    log_format: Annotated[str | None, _setting("log_format", "FORMAT")] = None,
    max_message_bytes: Annotated[int | None, _setting("max_message_bytes", "N")] = None,
    max_accounts_in_memory: Annotated[int | None, _setting("max_accounts_in_memory", "N")] = None,
    max_queued_operations: Annotated[int | None, _setting("max_queued_operations", "N")] = None,
    commit_window_ms: Annotated[float | None, _setting("commit_window_ms", "MS")] = None,
    shutdown_grace_seconds: Annotated[float | None, _setting("shutdown_grace_seconds", "SECONDS")] = None,
    drift_checks: Annotated[bool | None, _setting("drift_checks")] = None,
    workers: Annotated[int | None, _setting("workers", "N")] = None,
) -> None:
    """Run the daemon until SIGTERM or Ctrl-C.

    It prints one line, `meterd listening on ADDRESS`, as soon as it answers; its log goes to stderr.

    Each setting comes from its flag, else its METERD_ variable, else the TOML file (the same name with underscores:
    log_level = "debug"), else its default.
    """
    flags = locals()  # one flag for each setting, and the file
    for warning in settings_warnings():
        complain(f"warning: {warning}")
    try:
        settings = load_settings(flags)
    except ConfigError as error:
        for line in str(error).splitlines():
            complain(line)
        raise typer.Exit(Exit.USAGE) from None
    raise typer.Exit(_run(settings))


def _run(settings: Settings) -> int:
    # Only this command needs the daemon's modules; the others start faster without them.
    from meterd_server.daemon import run  # noqa: PLC0415

    try:
        return run(settings, _announce)
    except StartupError as error:
        complain(str(error))
        return Exit.CANNOT_START


def _announce(address: str) -> None:
    typer.echo(f"meterd listening on {address}")
