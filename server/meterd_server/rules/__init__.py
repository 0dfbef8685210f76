"""Money's rules, all of them, once for every store. Pure: no I/O, no clock, no await.

`decide_batch` folds a batch of commands over the accounts it touches, in order, knowing which request ids were recorded before. A
store loads accounts and what `needs` says, calls it, and writes what comes out in one transaction.
"""

from meterd_server.rules.accounts import apply
from meterd_server.rules.batch import BatchDecision, decide, decide_batch, replay
from meterd_server.rules.cost_columns import CostDecision, decide_costs
from meterd_server.rules.costs import decide_check, decide_cost
from meterd_server.rules.facts import (
    NO_FACTS,
    EntryKey,
    Facts,
    Needs,
    Original,
    RequestKey,
    ReservationKey,
    charged_for,
    may_be_recorded,
    needs,
)
from meterd_server.rules.fingerprints import fingerprint, hashed, is_same_request
from meterd_server.rules.grants import lapse_request_id
from meterd_server.rules.reservations import expiry_request_id

__all__ = [
    "NO_FACTS",
    "BatchDecision",
    "CostDecision",
    "EntryKey",
    "Facts",
    "Needs",
    "Original",
    "RequestKey",
    "ReservationKey",
    "apply",
    "charged_for",
    "decide",
    "decide_batch",
    "decide_check",
    "decide_cost",
    "decide_costs",
    "expiry_request_id",
    "fingerprint",
    "hashed",
    "is_same_request",
    "lapse_request_id",
    "may_be_recorded",
    "needs",
    "replay",
]
