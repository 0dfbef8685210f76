"""Whatever is done to a ledger in whatever order, on each engine: after every step it is what the model says."""

import ast
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from prove import model
from prove.machine import LedgerMachine
from prove.operations import KNOWN, WHY
from prove.plain_store import PlainStore
from store.engines import ENGINES, Engine

PLAIN = Engine("rules", lambda _, **options: PlainStore(), survives_reopening=False)
EXAMPLES = {"rules": 250, "sqlite-memory": 350, "sqlite-file": 150, "postgres": 48, "postgres-distributed": 5}
"""How many on each engine, in each of its pieces: 500 on SQLite, and 500 on PostgreSQL."""
PIECES = {"postgres": 10, "postgres-distributed": 4}
"""Into how many tests they are divided, where they take long: as many processes run them as there are."""
RUNS = [
    pytest.param(engine, id=f"{engine.name}-{piece}" if engine.name in PIECES else engine.name)
    for engine in [PLAIN, *ENGINES]
    for piece in range(PIECES.get(engine.name, 1))
]

_DONE = {"check": ("checked",), "policy": ("recorded",), "lapse": ("seen",), "expire": ("recorded", "seen")}
MUST_BE_SEEN = (
    {(do, outcome) for do in KNOWN for outcome in _DONE.get(do, ("recorded", "refused"))}
    | {"repeated", *WHY} - {"too many grants"}  # of which there are a hundred
    | {("capture", "late"), ("capture", "overrun")}
    | {("reverse", kind) for kind in ("cost", "capture", "expiry", "funding", "restores a grant", "unsettles")}
)
"""What each long run has to come to: every operation carried out and refused, for every reason but one."""


@pytest.mark.parametrize("engine", RUNS)
@pytest.mark.timeout(600)
def test_the_ledger_is_what_the_model_says(engine):
    """Fifty steps of any kind, in batches, with replays, restarts and a clock that jumps, come to what the model comes to."""
    seen = Counter()
    run_state_machine_as_test(
        type("Machine", (LedgerMachine,), {"engine": engine, "seen": seen}),
        settings=settings(
            max_examples=EXAMPLES[engine.name],
            stateful_step_count=50,
            deadline=None,
            derandomize=False,  # or the pieces would be alike
            suppress_health_check=list(HealthCheck),
        ),
    )
    if EXAMPLES[engine.name] >= EXAMPLES["rules"]:
        assert set() == MUST_BE_SEEN - seen.keys()


def test_the_model_shares_no_code_with_the_rules():
    """The model is small, and imports nothing."""
    source = Path(model.__file__).read_text()
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert ([], True) == (imports, len(source.splitlines()) <= 300)
