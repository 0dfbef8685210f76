"""`meterd bench`: every load on a real daemon, and what is said when there is none."""

import json

from .process import meterd


def test_every_load_is_measured(daemon, tmp_path):
    """Each kind of load is answered without an error, and has a rate and latencies, as a table and as JSON."""
    ran = meterd(tmp_path, "bench", "--seconds", "0.2", "--users", "50", "--json", "--address", daemon.address)
    assert (0, "") == (ran.returncode, ran.stderr)
    figures = json.loads(ran.stdout)
    assert {"RecordCost, 1 in flight", "Check, 64 in flight", "Batch of 1,000, 4 in flight"} <= figures.keys()
    for taken in figures.values():
        assert 0 == taken["errors"]
        assert 0 < taken["p50_ms"] <= taken["p99_ms"]
        assert taken["operations"] > 0 < taken["operations_per_second"]


def test_costs_of_a_bench_are_recorded(daemon, client, tmp_path):
    """What is measured is real: the operations counted are in the ledger, every one."""
    before = client.get_balance("bench-0")
    ran = meterd(tmp_path, "bench", "--seconds", "0.1", "--users", "1", "--json", "--address", daemon.address)
    recorded = sum(taken["operations"] for name, taken in json.loads(ran.stdout).items() if "Check" not in name)
    after = client.get_balance("bench-0")
    assert recorded == after.version - before.version
    assert 5_000 * recorded == after.spent_microcents - before.spent_microcents


def test_no_daemon(tmp_path):
    """Without a daemon there is one line and the exit code for it."""
    ran = meterd(tmp_path, "bench", "--address", f"unix:{tmp_path}/nobody")
    assert (4, "", f"meterd: cannot reach unix:{tmp_path}/nobody\n") == (ran.returncode, ran.stdout, ran.stderr)
