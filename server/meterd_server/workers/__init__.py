"""Many processes on one port: workers that speak gRPC, and one process that keeps the ledger.

A worker reads, checks and writes messages, which is most of a call's work, on a core of its own; the ledger's process decides and
commits. Between them runs a socket pair with `frames`.
"""
