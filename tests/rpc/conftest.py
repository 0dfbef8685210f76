from contextlib import AsyncExitStack

import pytest

from .house import House
from .metering import Session


@pytest.fixture(params=[False, True], ids=["alone", "worker"])
async def open_house(request):
    """Return a function that opens a server with options for its store and ledger, and closes it in the end.

    The ledger is there itself, and then as a worker sees it: the wire must not tell.
    """
    async with AsyncExitStack() as stack:

        async def open_house(**options):
            return await stack.enter_async_context(House(has_worker=request.param, **options))

        yield open_house


@pytest.fixture
async def house(open_house):
    """Open a server with every default."""
    return await open_house()


@pytest.fixture
async def unchanged(house):
    """Fund ada before the test, and hold after it that nothing the test did has changed her account."""
    await house.fund(amount_microcents=1_000)
    before = await house.balance()
    yield house
    assert before == await house.balance()
    assert [1] == [entry.version for entry in (await house.list()).entries]


@pytest.fixture
async def funded(house):
    """Fund ada with 1,000."""
    await house.fund(amount_microcents=1_000)
    return house


@pytest.fixture
def session(funded):
    """Return a session that is not open yet."""
    return Session(funded)
