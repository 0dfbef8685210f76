"""`python -m bench.soak`: everything at once for a long time, then every sum checked and memory looked at.

Tasks fund, charge, charge strictly, retry and check through the client, over a thousand users; each keeps what was acknowledged.
In the end every balance and version has to be exactly what the acknowledgements say, and the daemon's memory flat.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import meterd
from bench.servers import Server
from bench.servers import meterd as serving

USERS = 1_000
TASKS = 128
SAMPLE_SECONDS = 5.0


class Soak:
    """What was acknowledged, by user."""

    def __init__(self, client: meterd.AsyncClient, ends: float) -> None:
        self._client = client
        self._ends = ends
        self.funded: Counter[str] = Counter()
        self.spent: Counter[str] = Counter()
        self.entries: Counter[str] = Counter()
        self.operations = 0
        self.refused = 0

    async def task(self, seed: int) -> None:
        """One caller, until the time is up."""
        chance = random.Random(seed)
        while time.perf_counter() < self._ends:
            await self._step(chance, f"soak-{chance.randrange(USERS)}")
            self.operations += 1

    async def _step(self, chance: random.Random, user: str) -> None:
        kind, amount = chance.random(), chance.randrange(1, 50_000)
        if kind < 0.1:
            await self._client.record_funding(user, amount)
            self.funded[user] += amount
        elif kind < 0.3:
            await self._client.check(user)
            return
        elif kind < 0.5:
            try:
                await self._client.record_cost(user, amount, reject_overdraft=True)
            except meterd.InsufficientFundsError:
                self.refused += 1
                return
            self.spent[user] += amount
        else:
            request_id = meterd.new_request_id()
            for _ in range(2 if kind > 0.98 else 1):  # a caller who did not get the answer, and asks again
                await self._client.record_cost(user, amount, service="soak", request_id=request_id)
            self.spent[user] += amount
        self.entries[user] += 1

    async def wrong(self) -> list[str]:
        """The users whose account is not what was acknowledged."""
        found = []
        for user in self.entries:
            balance = await self._client.get_balance(user)
            is_there = (balance.funded_microcents, balance.spent_microcents, balance.version)
            if is_there != (self.funded[user], self.spent[user], self.entries[user]):
                found.append(user)
        return found


async def _sample(server: Server, ends: float, megabytes: list[float]) -> None:
    while time.perf_counter() < ends:
        await asyncio.sleep(SAMPLE_SECONDS)
        megabytes.append(server.resident_megabytes())


async def soak(server: Server, seconds: float) -> bool:
    """Run, check and print; whether everything is as it should be."""
    ends = time.perf_counter() + seconds
    megabytes: list[float] = []
    async with meterd.AsyncClient(server.address) as client:
        run = Soak(client, ends)
        await asyncio.gather(_sample(server, ends, megabytes), *map(run.task, range(TASKS)))
        wrong = await run.wrong()
    quarter = max(1, len(megabytes) // 4)
    second, last = (
        statistics.median(megabytes[quarter : 2 * quarter] or megabytes),
        statistics.median(megabytes[-quarter:]),
    )
    print(
        f"{run.operations:,} operations in {seconds:,.0f} s ({run.operations / seconds:,.0f}/s), {run.entries.total():,} entries, "
        f"{run.refused:,} refused; users whose sums are wrong: {len(wrong)} of {len(run.entries):,}; resident memory "
        f"{second:.0f} MB in the second quarter, {last:.0f} MB in the last, {max(megabytes):.0f} MB at most"
    )
    return not wrong


def main() -> None:
    """Start a daemon and soak it."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("flags", nargs="*", help="flags of the daemon, after --")
    options = parser.parse_args()
    processors = sorted(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(processors, Path(folder) / "soak.sqlite3", *options.flags) as server,
    ):
        if not asyncio.run(soak(server, options.seconds)):
            raise SystemExit("sums are wrong")


if __name__ == "__main__":
    main()
