"""What is broken on purpose, how often, and whether it was survived: the registry behind `make prove`.

A proof is a function that runs one round: it breaks something under load and holds what is left against what was promised. How
a round goes follows from its seed alone, so that one that fails can be run again: `make prove ARGS="NAME --seed 17"`.

To add one, write a module `tests/prove/proof_<what>.py`; nothing else has to know of it:

    from prove.proofs import Round, proof

    @proof("torn-pages", "a page of the file is half written", rounds=(2, 50, 5_000))
    async def torn_pages(round_: Round) -> None:
        dice = random.Random(round_.seed)
        for number in range(10):
            with round_.fault("first half kept", f"page {number}"):  # injected from here on, survived if the block ends
                ...
                assert expected == actual, "the first difference, in words"

`rounds` says how many are run by `make test` (seconds), by `make prove` (minutes) and by `PROVE=long make prove` (hours). A round
has a folder of its own, `round_.folder`, in memory where the machine allows it. It raises for what was not survived, counts by kind
of fault, leaves nothing running, and raises `NotHereError` where this machine cannot do it at all. `round_.note` tells the report
what else was measured or used. Rounds run in processes of their own, two at a time; `alone=True` for one at a time, as where times
are measured: only where `round_.alone`, for the suite runs other tests beside it. A seed that failed once stays: `seeds=(17, 204)`
are run before any others, always.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import shutil
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

HERE = Path(__file__).parent
IN_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 2**30
SIZES = ("test", "short", "long")


class NotHereError(Exception):
    """The proof cannot be run on this machine; the text says why."""


@dataclass
class Tally:
    """What one round, or several, came to."""

    injected: Counter[str] = field(default_factory=Counter)
    """By kind of fault."""
    survived: Counter[str] = field(default_factory=Counter)
    notes: dict[str, None] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    """The first difference of each round that failed, with its seed."""
    not_here: str = ""

    def add(self, other: Tally) -> None:
        """Take in what another came to."""
        self.injected += other.injected
        self.survived += other.survived
        self.notes |= other.notes
        self.failures += other.failures
        self.not_here = self.not_here or other.not_here

    @property
    def held(self) -> bool:
        """Whether everything was survived."""
        return not self.failures and self.injected == self.survived


@dataclass
class Round:
    """One run of a proof, from one seed."""

    seed: int
    folder: Path
    """Empty, and gone after the round."""
    alone: bool = False
    """Whether nothing else is run beside it, so that times say something."""
    tally: Tally = field(default_factory=Tally)
    fault_now: str = ""

    @contextmanager
    def fault(self, kind: str, detail: str = "") -> Iterator[None]:
        """Count a fault of a kind as injected, and as survived when the block ends without an exception."""
        self.fault_now = f"{kind} {detail}".strip()
        self.tally.injected[kind] += 1
        yield
        self.tally.survived[kind] += 1
        self.fault_now = ""

    def note(self, text: str) -> None:
        """Say something in the report, once however many rounds say it."""
        self.tally.notes[text] = None


class Proof(NamedTuple):
    """A function that runs a round, and how many rounds of it there are to be."""

    name: str
    what: str
    run: Callable[[Round], Awaitable[None] | None]
    rounds: tuple[int, int, int]
    alone: bool = False
    seeds: tuple[int, ...] = ()

    def seeds_of(self, size: str) -> list[int]:
        """The seeds of a run of a size: those that failed once, then from 0 on."""
        return [*self.seeds, *range(self.rounds[SIZES.index(size)])]

    def run_round(self, seed: int, *, alone: bool = False) -> Tally:
        """Run one round to its end, whatever comes; `alone` says that nothing else is run meanwhile."""
        folder = Path(tempfile.mkdtemp(prefix=f"meterd-{self.name}-", dir=_memory()))
        round_ = Round(seed, folder, alone)
        log = logging.getLogger("meterd_server")
        level = log.level
        log.setLevel(logging.CRITICAL)  # it says each time that what is broken here is broken
        try:
            awaitable = self.run(round_)
            if inspect.iscoroutine(awaitable):
                asyncio.run(awaitable)
        except NotHereError as reason:
            round_.tally.not_here = str(reason)
        except Exception as error:
            where = f"{self.name}, seed {seed}: {round_.fault_now or 'outside of a fault'}"
            round_.tally.failures.append(f"{where}: {type(error).__name__}: {error}")
        finally:
            log.setLevel(level)
            shutil.rmtree(folder, ignore_errors=True)
        return round_.tally


def _memory() -> Path | None:
    """A folder in memory, if there is one with room."""
    return IN_MEMORY if IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > _ROOM_BYTES else None


_proofs: dict[str, Proof] = {}


def proof(
    name: str, what: str, *, rounds: tuple[int, int, int], alone: bool = False, seeds: tuple[int, ...] = ()
) -> Callable[[Callable[[Round], Awaitable[None] | None]], Callable[[Round], Awaitable[None] | None]]:
    """Register the function that runs one round of a proof."""

    def register(run: Callable[[Round], Awaitable[None] | None]) -> Callable[[Round], Awaitable[None] | None]:
        _proofs[name] = Proof(name, what, run, rounds, alone, seeds)
        return run

    return register


def all_proofs() -> dict[str, Proof]:
    """Every proof by its name, in the order of the modules."""
    for path in sorted(HERE.glob("proof_*.py")):
        importlib.import_module(f"prove.{path.stem}")
    return _proofs


def run_rounds(name: str, seeds: list[int], *, alone: bool = False) -> Tally:
    """Run rounds of a proof, one after another; `alone` says that nothing else is run meanwhile."""
    tally = Tally()
    for seed in seeds:
        tally.add(all_proofs()[name].run_round(seed, alone=alone))
    return tally
