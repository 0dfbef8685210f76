"""The bugs that the suite has to notice: one line of the server each, and which tests are enough.

`old` is in its file exactly once (more of its surroundings are given where the line alone is not), so that the list cannot rot. The
first few are the fastest: they are planted in every `make test`.
"""

from prove.mutants import ledger, rules, stores, wire
from prove.mutants.planting import Mutant

MUTANTS: list[Mutant] = [*ledger.MUTANTS, *rules.MUTANTS, *stores.MUTANTS, *wire.MUTANTS]

__all__ = ["MUTANTS", "Mutant"]
