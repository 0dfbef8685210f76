"""The daemon's settings: what they are, where they come from, and what is said when one is wrong.

A setting is looked up in this order, and the first place that has it wins:

1. the command line (`--max-message-bytes 65536`);
2. the environment (`METERD_MAX_MESSAGE_BYTES=65536`; an empty variable counts as unset);
3. a TOML file (`max_message_bytes = 65536`), named by `--config` or `METERD_CONFIG`, else `meterd.toml` in the user's
   configuration folder if it is there;
4. the default.

Every complaint is one line that names the setting the way its author wrote it: `--listen`, `METERD_LISTEN`, or
`/etc/meterd.toml:listen`.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from platformdirs import user_config_path, user_data_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

ENV_PREFIX = "METERD_"
OTHER_VARIABLES = ("METERD_ADDRESS", "METERD_CONFIG")
"""Variables that are read but are not settings: the client commands' address and the configuration file's path."""

_UNIX_PATH_BYTES_MAX = 107
_TCP = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
_DB_SCHEMES = ("postgresql://", "postgres://")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


class ConfigError(Exception):
    """The settings cannot be used. Its text is one line per problem, each naming the setting and where it was set."""


def _default_db() -> str:
    return str(user_data_path("meterd") / "meterd.sqlite3")


class Settings(BaseModel):
    """The daemon's settings, checked and immutable. A field's description is its documentation, in help and elsewhere.

    Building one directly reads no environment and no file: `load_settings` does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    insecure: bool = Field(
        default=False,
        description="Allow plaintext on an address that other machines can reach. Loopback and unix: never need it.",
    )
    listen: str = Field(
        default="127.0.0.1:50051",
        description="Where to listen: HOST:PORT, [IPV6]:PORT or unix:/PATH. Port 0 takes a free one and announces it.",
    )
    db: str = Field(
        default_factory=_default_db,
        description="Where the ledger is: a SQLite file, postgresql://USER:PASSWORD@HOST/DATABASE, or :memory: for one that "
        "dies with the daemon.",
    )
    db_connections: int = Field(
        default=8,
        ge=2,
        le=1000,
        description="How many connections to PostgreSQL the daemon keeps, 2 to 1000: a lane for every four, the others to read.",
    )
    prices: str = Field(
        default="",
        description="A TOML file of rate cards to load at the start; those that are kept already stay as they are.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe log line that is written: debug, info, warning or error."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="How log lines look: json, console, or auto (console on a terminal, else json)."
    )
    max_message_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        description="The largest gRPC message accepted, in bytes, 1024 to 67108864.",
    )
    max_accounts_in_memory: int = Field(
        default=100_000,
        ge=1,
        description="How many accounts are cached at most, 1 or more; the rest are read when needed.",
    )
    max_queued_operations: int = Field(
        default=10_000,
        ge=1,
        description="How many operations may wait for the ledger, 1 or more; beyond it: OVERLOADED.",
    )
    commit_window_ms: float = Field(
        default=3.0,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="How long at most a busy ledger waits for company before it commits, in milliseconds, 0 to 100.",
    )
    shutdown_grace_seconds: float = Field(
        default=10.0,
        ge=0,
        le=300,
        allow_inf_nan=False,
        description="How long calls in flight may finish after SIGTERM or Ctrl-C, in seconds, 0 to 300.",
    )
    drift_checks: bool = Field(
        default=True,
        description="Re-derive every account from its entries in the background, and say so in log and health if one differs.",
    )
    workers: int = Field(
        default=0,
        ge=0,
        le=64,
        description="How many processes answer calls for the one that keeps the ledger, 0 to 64; 0: that one does it alone.",
    )

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, listen: str, info: ValidationInfo) -> str:
        # `insecure` is declared first so that it is known here; it is missing when it was itself not valid.
        if not _is_local(listen) and not info.data.get("insecure", True):
            raise ValueError(
                f"{listen!r} can be reached by other machines and meterd speaks no TLS yet: "
                "listen on 127.0.0.1 behind a TLS-terminating proxy, or add --insecure (insecure = true)"
            )
        return listen

    @field_validator("workers")
    @classmethod
    def _check_workers(cls, workers: int, info: ValidationInfo) -> int:
        if workers > 1 and str(info.data.get("listen", "")).startswith("unix:"):
            raise ValueError(f"{workers} processes cannot share a unix: address: give 1, or --listen HOST:PORT")
        return workers

    @field_validator("db")
    @classmethod
    def _check_db(cls, db: str) -> str:
        # The value is never repeated: a database address may hold a password.
        if not db or _CONTROL_CHARACTER.search(db):
            raise ValueError("not the path of a file, nor :memory:, nor postgresql://USER:PASSWORD@HOST/DATABASE")
        if "://" in db:
            if not db.startswith(_DB_SCHEMES):
                raise ValueError("of addresses, only postgresql://USER:PASSWORD@HOST/DATABASE can be used")
            return db
        return db if db == ":memory:" else str(Path(db).expanduser())


def _is_local(listen: str) -> bool:
    """Say whether only this machine can reach the address; raise ValueError when it is not an address."""
    if listen.startswith("unix:"):
        path = listen.removeprefix("unix:")
        if not path.startswith("/") or _CONTROL_CHARACTER.search(path) or len(path.encode()) > _UNIX_PATH_BYTES_MAX:
            raise ValueError(f"{listen!r} is not unix:/PATH with a path of at most {_UNIX_PATH_BYTES_MAX} bytes")
        return True
    match = _TCP.fullmatch(listen)
    if match is None:
        raise ValueError(f"{listen!r} is not HOST:PORT")
    if int(match["port"]) > 65535:
        raise ValueError(f"{listen!r} is not HOST:PORT: a port is 0 to 65535")
    host = match["host"].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        if match["host"].startswith("["):
            raise ValueError(f"{listen!r} is not HOST:PORT: {host!r} is not an IPv6 address") from None
        return False


def variable(key: str) -> str:
    """Return the environment variable of a setting: `listen` -> `METERD_LISTEN`."""
    return ENV_PREFIX + key.upper()


def flag(key: str) -> str:
    """Return the command-line flag of a setting: `log_level` -> `--log-level`."""
    return "--" + key.replace("_", "-")


def load_settings(flags: Mapping[str, object], environ: Mapping[str, str] = os.environ) -> Settings:
    """Put the settings together from flags, environment, file and defaults.

    `flags` holds settings by name, and `config` for the file's path; None means that the flag was not given. Raises
    ConfigError, which names every problem at once and for each the place where the bad value was set.
    """
    given = {key: value for key, value in flags.items() if value is not None}
    config_flag = given.pop("config", None)
    config_path = _find_config(None if config_flag is None else str(config_flag), environ)
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    from_environment = {key: environ[variable(key)] for key in Settings.model_fields if environ.get(variable(key))}
    for key, value in (_read_file(config_path) if config_path else {}).items():
        values[key], origins[key] = value, f"{config_path}:{key}"
    for key, text in from_environment.items():
        values[key], origins[key] = text, variable(key)
    for key, value in given.items():
        values[key], origins[key] = value, flag(key)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_complaints(error, origins))) from None


def settings_warnings(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return a line for every METERD_* variable that nothing reads: a typing error, most likely.

    They are not errors: Kubernetes sets such variables (METERD_SERVICE_HOST, METERD_PORT) for a service named meterd.
    """
    known = [*(variable(key) for key in Settings.model_fields), *OTHER_VARIABLES]
    return [
        f"{name}: not a setting, ignored{_did_you_mean(name, known, ENV_PREFIX)}"
        for name in sorted(environ)
        if name.startswith(ENV_PREFIX) and name not in known
    ]


def _find_config(config_flag: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file to read, or None; one that was asked for must be there."""
    for path, origin in ((config_flag, "--config"), (environ.get("METERD_CONFIG") or None, "METERD_CONFIG")):
        if path is not None:
            if not Path(path).is_file():
                raise ConfigError(f"{origin}: there is no file {path!r}")
            return Path(path)
    default = user_config_path("meterd") / "meterd.toml"
    return default if default.is_file() else None


def _read_file(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not TOML: not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _complaints(error: ValidationError, origins: Mapping[str, str]) -> Iterable[str]:
    for problem in error.errors(include_url=False):
        key = str(problem["loc"][0])
        origin = origins.get(key, key)
        if problem["type"] == "extra_forbidden":
            yield f"{origin}: there is no setting {key!r}{_did_you_mean(key, Settings.model_fields)}"
        elif problem["type"] == "value_error":
            yield f"{origin}: {problem['msg'].removeprefix('Value error, ')}"
        else:
            yield f"{origin}: {problem['input']!r} {problem['msg'].replace('Input should', 'should', 1)}"


def _did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """What all of the words begin with is no sign that two of them are alike."""
    close = get_close_matches(
        word.removeprefix(prefix), [each.removeprefix(prefix) for each in known], n=1, cutoff=0.75
    )
    return f"; did you mean {prefix}{close[0]}?" if close else ""
