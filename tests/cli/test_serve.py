import pytest

from meterd_server import config, daemon
from meterd_server.config import Settings
from meterd_server.errors import StartupError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    """No METERD_ variable and no file of this machine is seen."""
    monkeypatch.setattr(config, "user_config_path", lambda name: tmp_path / name)
    for name in [name for name in config.os.environ if name.startswith("METERD_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def served(monkeypatch):
    """Take the daemon's place: keep the settings, announce an address, end well."""
    seen = []

    def serve(settings, announce):
        seen.append(settings)
        announce("127.0.0.1:43210")
        return 0

    monkeypatch.setattr(daemon, "run", serve)
    return seen


def test_serve_announces_its_address(run, served):
    """Exactly one line says where the daemon answers, for programs that wait for it."""
    result = run("serve", "--listen", "127.0.0.1:0", "--db", ":memory:")
    assert (0, "meterd listening on 127.0.0.1:43210\n", "") == (result.exit_code, result.stdout, result.stderr)


def test_every_setting_has_a_flag(run, served):
    """What can be set can be set on the command line."""
    given = {
        "insecure": True,
        "listen": "0.0.0.0:1",
        "db": ":memory:",
        "prices": "prices.toml",
        "db_connections": 2,
        "log_level": "debug",
        "log_format": "json",
        "max_message_bytes": 2048,
        "max_accounts_in_memory": 2,
        "max_queued_operations": 3,
        "commit_window_ms": 0.5,
        "shutdown_grace_seconds": 1.5,
        "drift_checks": True,
        "workers": 2,
    }
    assert Settings.model_fields.keys() == given.keys()
    arguments = [config.flag(key) if value is True else f"{config.flag(key)}={value}" for key, value in given.items()]
    assert 0 == run("serve", *arguments).exit_code
    assert [given] == [settings.model_dump() for settings in served]


def test_flags_win_over_environment_and_file(run, served, monkeypatch, tmp_path):
    """The command reads all three sources, in order."""
    path = tmp_path / "c.toml"
    path.write_text('log_level = "error"\nlog_format = "json"\ninsecure = true')
    monkeypatch.setenv("METERD_LOG_LEVEL", "warning")
    run("serve", "--config", path, "--no-insecure")
    assert ("warning", "json", False) == (served[0].log_level, served[0].log_format, served[0].insecure)


def test_bad_settings_exit_2(run, served):
    """Each problem is a line on stderr, and nothing is started."""
    result = run("serve", "--listen", "abc", "--log-level", "loud")
    assert (2, "", []) == (result.exit_code, result.stdout, served)
    assert [
        "meterd: --listen: 'abc' is not HOST:PORT",
        "meterd: --log-level: 'loud' should be 'debug', 'info', 'warning' or 'error'",
    ] == result.stderr.splitlines()


def test_unknown_variables_are_warned_about(run, served, monkeypatch):
    """A misspelt variable is told and does not stop the daemon."""
    monkeypatch.setenv("METERD_LISTN", "x")
    result = run("serve")
    assert 0 == result.exit_code
    assert "meterd: warning: METERD_LISTN: not a setting, ignored; did you mean METERD_LISTEN?\n" == result.stderr


def test_a_daemon_that_cannot_start_exits_5(run, monkeypatch):
    """A port in use or an unusable database is one line, without a traceback."""

    def fail(_settings, _announce):
        raise StartupError("127.0.0.1:1 is in use")

    monkeypatch.setattr(daemon, "run", fail)
    result = run("serve")
    assert (5, "meterd: 127.0.0.1:1 is in use\n") == (result.exit_code, result.stderr)


def test_the_daemons_exit_code_is_passed_on(run, monkeypatch):
    """What the daemon says about its end is what the shell gets."""
    monkeypatch.setattr(daemon, "run", lambda *_: 70)
    assert 70 == run("serve").exit_code


def test_help_shows_variable_and_default(run):
    """Each flag's help names the variable and the default."""
    stdout = " ".join(run("serve", "--help").stdout.split())
    assert "[METERD_LISTEN; default: 127.0.0.1:50051]" in stdout
    assert "[METERD_INSECURE; default: false]" in stdout
