"""What gRPC leaves behind of each call is freed a little at a time."""

import gc

from meterd_server.rpc.leftovers import EVERY_CALLS, Leftovers


def test_every_so_many_calls():
    """The young objects are looked through every so many calls, those that were young before seldom."""
    generations = []
    leftovers = Leftovers(generations.append)
    for _ in range(EVERY_CALLS - 1):
        leftovers.note_call()
    assert [] == generations
    for _ in range(1_000 * EVERY_CALLS):
        leftovers.note_call()
    assert [0] * 999 + [1] == generations


async def test_nothing_gathers(house):
    """A server's calls leave nothing behind that waits for the collector to take its turn by itself.

    Small calls leave nothing at all; those that gRPC hands over itself do.
    """
    gc.collect()
    gc.disable()
    try:
        before = gc.get_stats()[0]["collected"]
        for _ in range(2 * EVERY_CALLS):
            await house.list()
        freed = gc.get_stats()[0]["collected"] - before
    finally:
        gc.enable()
    assert freed >= EVERY_CALLS
