"""Many threads and many tasks behind one client each: what travels together is booked as if each had called alone."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

import meterd

CALLERS = 64
CALLS = 20


def _calls(client, caller):
    """Yield a caller's calls one by one: costs and fundings of three users in turn, each with its amount in its request_id."""
    for number in range(CALLS):
        user_id = f"together-{(caller + number) % 3}"
        amount = caller * CALLS + number + 1
        change = client.record_funding if number % 4 == 0 else client.record_cost
        yield change(user_id, amount, request_id=f"{amount}"), user_id, amount


def _check(answer, user_id, amount):
    assert (user_id, f"{amount}", amount) == (
        answer.entry.user_id,
        answer.entry.request_id,
        abs(answer.entry.amount_microcents),
    )
    assert answer.balance.version >= answer.entry.version


def _threads(address):
    with meterd.Client(address) as client, ThreadPoolExecutor(CALLERS) as threads:

        def call(caller):
            for answer, user_id, amount in _calls(client, caller):
                _check(answer, user_id, amount)

        assert CALLERS == len(list(threads.map(call, range(CALLERS))))


def _tasks(address):
    async def run():
        async with meterd.AsyncClient(address) as client:

            async def call(caller):
                for answer, user_id, amount in _calls(client, caller):
                    _check(await answer, user_id, amount)

            await asyncio.gather(*(call(caller) for caller in range(CALLERS)))

    asyncio.run(run())


@pytest.mark.parametrize(("crowd", "method"), [(_threads, "Batch"), (_tasks, "Stream")])
def test_sums_are_exact(run_daemon, crowd, method):
    """Each caller gets its own entry each time, they went together, and the ledgers add up to what was sent."""
    daemon = run_daemon()
    crowd(daemon.address)
    amounts = range(1, CALLERS * CALLS + 1)
    funded = sum(amount for amount in amounts if (amount - 1) % 4 == 0)
    with meterd.Client(daemon.address) as client:
        balances = [client.get_balance(f"together-{number}") for number in range(3)]
        entries = [entry for number in range(3) for entry in client.list_entries(f"together-{number}")]
    assert (funded, sum(amounts) - funded, len(amounts)) == (
        sum(balance.funded_microcents for balance in balances),
        sum(balance.spent_microcents for balance in balances),
        sum(balance.version for balance in balances),
    )
    assert {f"{amount}" for amount in amounts} == {entry.request_id for entry in entries}
    assert 0 == daemon.stop()  # with which the last lines of the log are written
    assert any(line["method"].endswith(f"/{method}") for line in daemon.log("call"))
