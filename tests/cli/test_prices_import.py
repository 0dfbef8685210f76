"""`meterd prices import`: what it writes, what it says it skipped, and that it loses no file."""

import json
from pathlib import Path

import pytest

from meterd_server.cli import prices_import
from meterd_server.rate_files import load_cards

DATA = Path(__file__).parents[1] / "pricing" / "data"
LITELLM = DATA / "litellm.json"
SOURCES = {"litellm": LITELLM, "genai-prices": DATA / "genai_prices.json", "models-dev": DATA / "models_dev"}


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_written_loads(run, client, tmp_path, source):
    """Every source becomes a file that loads, with as many cards as the report says; nothing is sent."""
    output = tmp_path / "prices.toml"
    result = run("prices", "import", source, SOURCES[source], "--output", output)
    assert (0, "", []) == (result.exit_code, result.stderr, client.calls)
    count = len(load_cards(output))
    assert result.stdout.startswith(f"{source}: {count} cards for ")
    assert f"written to {output}\n" in result.stdout
    assert output.read_text().startswith(f"# {count} cards imported from {source} by meterd prices import.\n")


def test_the_report_counts_reasons(run, tmp_path):
    """What was skipped is summed up by reason, with an example; JSON names each."""
    result = run("prices", "import", "litellm", LITELLM)
    assert "nothing is written without --output" in result.stdout
    rows = [line.split(maxsplit=1) for line in result.stdout.splitlines() if line]
    assert ["2", "other units or classes of service"] == [cell.partition("   ")[0].strip() for cell in rows[3]]
    report = json.loads(run("prices", "import", "litellm", LITELLM, "--json").stdout)
    assert ("litellm", "4", 8, "") == (report["source"], report["card_count"], len(report["skipped"]), report["output"])
    assert {"name", "reason"} == report["skipped"][0].keys()
    assert {"openai": "2", "anthropic": "1", "mistral": "1"} == report["services"]


def test_some_services_from_a_date_on(run, tmp_path):
    """--service takes only what is named, --effective dates it."""
    output = tmp_path / "prices.toml"
    options = ("--service", "mistral", "--effective", "2026-12-01", "--output", output)
    run("prices", "import", "litellm", LITELLM, *options)
    (card,) = load_cards(output)
    assert ("mistral", 1_796_083_200_000_000) == (card.service, card.effective_from_us)


def test_no_file_is_lost(run, tmp_path):
    """A file that is there is kept, unless --force says otherwise."""
    output = tmp_path / "prices.toml"
    output.write_text("mine")
    result = run("prices", "import", "litellm", LITELLM, "--output", output)
    assert (2, f"meterd: {output}:1: is there already; --force replaces it\n") == (result.exit_code, result.stderr)
    assert "mine" == output.read_text()
    assert 0 == run("prices", "import", "litellm", LITELLM, "--output", output, "--force").exit_code
    assert 4 == len(load_cards(output))


def test_a_folder_that_is_not_there(run, tmp_path):
    """A file that cannot be written is said with the reason."""
    output = tmp_path / "none" / "prices.toml"
    result = run("prices", "import", "litellm", LITELLM, "--output", output)
    assert (2, f"meterd: {output}:1: cannot be written: No such file or directory\n") == (
        result.exit_code,
        result.stderr,
    )


def test_a_file_that_is_no_prices(run, tmp_path):
    """What is wrong with the source is said with its line, as JSON too."""
    bad = tmp_path / "bad.json"
    bad.write_text("{\n")
    result = run("prices", "import", "litellm", bad)
    assert 2 == result.exit_code
    assert result.stderr.startswith(f"meterd: {bad}:2: not JSON")
    (problem,) = json.loads(run("prices", "import", "litellm", bad, "--json").stderr)["error"]["problems"]
    assert (str(bad), "2") == (problem["file"], problem["line"])


class Terminal:
    """Stands in for stderr on a terminal."""

    def __init__(self, capture):
        self._capture = capture

    def __getattr__(self, name):
        return getattr(self._capture, name)

    def isatty(self):
        return True


def test_progress_is_shown_on_a_terminal(monkeypatch, capsys):
    """A bar counts up on stderr where that is a terminal, and nothing is printed where it is not."""
    with prices_import._progress(prices_import.Source.LITELLM) as progress:
        progress(1, 2)
    assert "" == capsys.readouterr().err
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", Terminal(prices_import.sys.stderr))
    with prices_import._progress(prices_import.Source.LITELLM) as progress:
        progress(2, 2)
    assert "2/2" in capsys.readouterr().err
