"""A ledger through thousands of mishaps in an order of the dice: everybody is answered, and every answer is true."""

import asyncio

from prove.histories import contradiction
from prove.proofs import Round, proof
from prove.simulation import simulate

KINDS = "a slow and failing store, callers who leave, and any order of what is ready"


@proof("simulation", "the ledger in a simulated world", rounds=(100, 1_000, 100_000))
def simulation(round_: Round) -> None:
    """Nobody waits for ever; what was acknowledged is there, what was not is whole or absent, and each request id counts once."""
    with round_.fault(KINDS):
        history, store = simulate(round_.seed)
        assert (found := asyncio.run(contradiction(history, store))) == "", found
