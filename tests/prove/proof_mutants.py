"""Bugs are planted in a copy of this repository, one line each: the suite has to notice every one of them.

This is what makes the rest believable: a test that cannot fail proves nothing. `mutants` lists what is planted where.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from prove.mutants import MUTANTS, Mutant
from prove.proofs import Round, proof

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 300
"""A suite that takes longer than that hangs: that is noticed."""
PASSED, FAILED = 0, 1
"""What pytest exits with; anything else says that it could not run the tests."""

_PYTEST = "import os, sys, pytest; code = pytest.main(sys.argv[1:]); sys.stdout.flush(); os._exit(code)"
"""A test that fails may leave a thread of a database behind, which would keep the process from its end."""

_IGNORED = shutil.ignore_patterns("__pycache__", ".*")


def copy_repository(folder: Path) -> None:
    """Copy what the suite needs of this repository, without what was compiled from it."""
    for name in ("client", "server", "tests", "protos", "bench"):
        shutil.copytree(ROOT / name, folder / name, ignore=_IGNORED)
    for name in ("pyproject.toml", "README.md", "Makefile"):
        shutil.copy(ROOT / name, folder / name)


def plant(folder: Path, mutant: Mutant) -> None:
    """Write the mutant's line in the place of the one that is there; it has to be there, once."""
    path = folder / mutant.file
    text = path.read_text()
    there = text.count(mutant.old)
    assert there == 1, f"{mutant.file} has {there} times what {mutant.name!r} changes: {mutant.old!r}"
    path.write_text(text.replace(mutant.old, mutant.new))


def run_suite(folder: Path, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run a part of the copy's suite on the copy, and on nothing else."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    # Before what is installed, which leads to the original; the processes that tests start inherit it.
    environment |= {"PYTHONPATH": os.pathsep.join(str(folder / name) for name in ("client", "server"))}
    python = [sys.executable, "-c", "import meterd, meterd_server as s; print(meterd.__file__, s.__file__)"]
    imported = subprocess.run(python, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
    assert imported.count(str(folder)) == 2, f"the original would be imported: {imported}"
    options = ("-x", "-p", "no:cacheprovider", "--timeout=20", "--hypothesis-profile=ci")
    return subprocess.run(
        [sys.executable, "-c", _PYTEST, *options, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


@proof("mutants", "a bug is planted in one line", rounds=(3, len(MUTANTS) + 1, len(MUTANTS) + 1))
def mutants(round_: Round) -> None:
    """The suite fails with the mutant of the round's number; the last round is all of those tests, on what is right."""
    copy_repository(round_.folder)
    if round_.seed == len(MUTANTS):
        with round_.fault("no bug: the same tests pass"):
            for arguments in sorted({mutant.tests for mutant in MUTANTS}):
                done = run_suite(round_.folder, arguments)
                assert done.returncode == PASSED, f"{arguments}: {done.stdout[-2000:]}"
        return
    mutant = MUTANTS[round_.seed]
    with round_.fault(f"in the {mutant.where}", mutant.name):
        plant(round_.folder, mutant)
        try:
            done = run_suite(round_.folder, mutant.tests)
        except subprocess.TimeoutExpired:
            return
        assert done.returncode in (PASSED, FAILED), (
            f"its tests could not be run: {done.stdout[-500:]} {done.stderr[-500:]}"
        )
        assert done.returncode == FAILED, "no test noticed"
