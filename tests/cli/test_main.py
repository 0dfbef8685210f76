import sys

import pytest

from meterd_server import __main__ as entry_point
from meterd_server import cli


def run_main(capsys):
    """Return the exit code and what is on stderr."""
    with pytest.raises(SystemExit) as caught:
        entry_point.main()
    return caught.value.code, capsys.readouterr().err


@pytest.fixture
def app(monkeypatch):
    """Put something else in the place of the command line."""
    return lambda action: monkeypatch.setattr(cli, "app", action)


def raiser(error):
    """Return a command line that fails with `error`."""

    def action(**_):
        raise error

    return action


@pytest.mark.parametrize("missing", ["typer", "rich.table", "structlog", "pydantic"])
def test_without_the_extra_it_says_how_to_get_it(app, capsys, missing):
    """The base package is the client; its command says what to install, instead of a traceback."""
    app(raiser(ModuleNotFoundError(f"No module named {missing!r}", name=missing)))
    assert (
        2,
        "meterd: the command needs the server extra: pip install 'meterd[server]'\n",
    ) == run_main(capsys)


@pytest.mark.parametrize("name", ["meterd_server.nothing", "meterd.v1.nothing", "meterd"])
def test_a_broken_installation_is_a_fault(app, capsys, name):
    """A module of our own that is missing is not cured by the extra."""
    app(raiser(ModuleNotFoundError("No module", name=name)))
    code, stderr = run_main(capsys)
    assert 70 == code
    assert "internal fault" in stderr


def test_an_unexpected_error_is_one_line(app, capsys):
    """Whatever happens, the user sees a line with the place to report, and exit code 70."""
    app(raiser(RuntimeError("boom")))
    code, stderr = run_main(capsys)
    assert 70 == code
    assert stderr.startswith("meterd: internal fault, please report it: RuntimeError: boom (test_main.py:")
    assert 1 == stderr.count("\n")


def test_an_interrupt_is_quiet(app, capsys):
    """Ctrl-C exits 130 and says nothing."""
    app(raiser(KeyboardInterrupt()))
    assert (130, "") == run_main(capsys)


def test_the_command_is_called_meterd(monkeypatch, capsys):
    """`python -m meterd_server` speaks of itself as `meterd`."""
    monkeypatch.setattr(sys, "argv", ["python -m meterd_server", "balance"])
    code, stderr = run_main(capsys)
    assert 2 == code
    assert "Usage: meterd balance" in stderr
