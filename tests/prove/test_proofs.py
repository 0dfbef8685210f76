"""Every proof in its smallest size, and the registry counts what it is told."""

import pytest

from prove.mutants import MUTANTS
from prove.proof_mutants import ROOT
from prove.proofs import NotHereError, Proof, Round, all_proofs, run_rounds

HERE = [proof for proof in all_proofs().values() if proof.seeds_of("test")]
"""Those that can be run beside other tests: one that measures times cannot."""


@pytest.mark.parametrize("proof", HERE, ids=lambda proof: proof.name)
@pytest.mark.timeout(300)
def test_survived(proof: Proof) -> None:
    """What a proof breaks is survived, in the few rounds that there is time for here."""
    total = run_rounds(proof.name, proof.seeds_of("test"))
    if total.not_here:
        pytest.skip(total.not_here)
    assert [] == total.failures
    assert total.held
    assert sum(total.injected.values()) > 0


def test_what_is_planted_replaces_something():
    """Each line that a mutant changes is there, once, and becomes another."""
    rotten = [each.name for each in MUTANTS if (ROOT / each.file).read_text().count(each.old) != 1]
    assert ([], []) == (rotten, [each.name for each in MUTANTS if each.old == each.new])


def _proof(run):
    return Proof("name", "what", run, (1, 2, 3))


def test_what_is_not_survived_is_counted_and_named():
    """A fault whose block raises is injected, not survived, and told with its kind, detail and seed."""

    def run(round_: Round) -> None:
        with round_.fault("good"):
            pass
        with round_.fault("bad", "at write 3"):
            raise AssertionError("one entry is lost")

    tally = _proof(run).run_round(7)
    assert ({"good": 1, "bad": 1}, {"good": 1}) == (tally.injected, tally.survived)
    assert ["name, seed 7: bad at write 3: AssertionError: one entry is lost"] == tally.failures
    assert not tally.held


def test_a_round_knows_whether_it_is_alone():
    """What measures times does so only where nothing is run beside it: in `make prove`, not in the suite."""
    told = []
    proof = _proof(lambda round_: told.append(round_.alone))
    proof.run_round(0)
    proof.run_round(0, alone=True)
    assert [False, True] == told


async def _not_here(_round):
    raise NotHereError("no such disk")


def test_what_cannot_be_run_says_why():
    """A proof that the machine cannot run is neither survived nor failed."""
    tally = _proof(_not_here).run_round(0)
    assert ("no such disk", True) == (tally.not_here, tally.held)


def test_seeds_that_failed_once_are_always_run():
    """They come before the others, whatever the size."""
    assert [204, 0, 1] == Proof("name", "what", _not_here, (1, 2, 3), seeds=(204,)).seeds_of("short")
