"""Whether a ledger adds up: each account rebuilt from its entries, and everything checked that has to hold of them.

`checks` is pure. `walk` takes a whole ledger through it, from wherever it can be read; `watch` does that in the background of a
running daemon.
"""

from meterd_server.audit.checks import AccountAudit
from meterd_server.audit.difference import Difference, DifferenceError
from meterd_server.audit.walk import Summary, audit_ledger, audit_snapshot
from meterd_server.audit.watch import DriftWatch

__all__ = ["AccountAudit", "Difference", "DifferenceError", "DriftWatch", "Summary", "audit_ledger", "audit_snapshot"]
