"""Many callers at once: sums exact, versions without gaps, nothing lost and nothing doubled."""

import asyncio
import random

import pytest

import meterd
from prove.harness import assert_adds_up, by_request_id, read

WRITERS = 64
OPERATIONS = 12


async def _write(client, writer, users):
    """Send a writer's operations one after the other, one in four of them twice at once; return their entries."""
    rng = random.Random(writer)
    entries = []
    for number in range(OPERATIONS):
        user_id, amount = rng.choice(users), rng.randrange(1, 1_000)
        change = rng.choice((client.record_cost, client.record_funding))
        request_id = f"{writer}-{number}"
        times = 2 if number % 4 == 0 else 1
        answers = await asyncio.gather(*(change(user_id, amount, request_id=request_id) for _ in range(times)))
        assert 1 == [answer.replayed for answer in answers].count(False)
        assert 1 == len({answer.entry for answer in answers})
        entries.append(answers[0].entry)
    return entries


@pytest.mark.parametrize("user_count", [1, 7, 100])
async def test_64_writers(daemon, user_count):
    """The ledgers hold exactly what 64 writers were answered, and add up."""
    users = [f"of-{user_count}-{number}" for number in range(user_count)]
    async with meterd.AsyncClient(daemon.address) as client:
        written = await asyncio.gather(*(_write(client, writer, users) for writer in range(WRITERS)))
        expected = {(entry.user_id, entry.version): entry for entries in written for entry in entries}
        assert WRITERS * OPERATIONS == len(expected)
        found = {}
        for user_id in users:
            entries = await read(client, user_id)
            by_request_id(entries)
            assert_adds_up(entries, await client.get_balance(user_id))
            found |= {(entry.user_id, entry.version): entry for entry in entries}
        assert expected == found


async def test_a_balance_is_spent_once(daemon):
    """Of 64 callers who each want a tenth of what there is, exactly ten get it."""
    async with meterd.AsyncClient(daemon.address) as client:
        await client.record_funding("spender", 1_000)
        calls = (client.record_cost("spender", 100, reject_overdraft=True) for _ in range(WRITERS))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert 10 == sum(isinstance(answer, meterd.Recorded) for answer in answers)
        assert WRITERS - 10 == sum(isinstance(answer, meterd.InsufficientFundsError) for answer in answers)
        balance = await client.get_balance("spender")
        assert (0, 11) == (balance.balance_microcents, balance.version)


async def test_one_of_many_updates_wins(daemon):
    """Of 64 updates from the same total, one is applied; the others learn the total that it made."""
    async with meterd.AsyncClient(daemon.address) as client:
        calls = (
            client.update_funding("updated", old_amount_microcents=0, new_amount_microcents=1_000 + number)
            for number in range(WRITERS)
        )
        answers = await asyncio.gather(*calls, return_exceptions=True)
        (won,) = (answer for answer in answers if isinstance(answer, meterd.Recorded))
        lost = [answer for answer in answers if isinstance(answer, meterd.FundingConflictError)]
        assert WRITERS - 1 == len(lost)
        assert {won.balance.funded_microcents} == {error.funded_microcents for error in lost}


async def test_a_check_sees_what_was_acknowledged(daemon):
    """Every caller's check, sent after its own change was answered, sees at least that change."""

    async def change_and_check(client, number):
        recorded = await client.record_funding("seen", number)
        result = await client.check("seen", 0)
        assert result.balance.version >= recorded.balance.version

    async with meterd.AsyncClient(daemon.address) as client:
        await asyncio.gather(*(change_and_check(client, number) for number in range(1, 201)))
        assert 200 * 201 // 2 == (await client.get_balance("seen")).balance_microcents
