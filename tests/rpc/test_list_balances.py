"""ListBalances: every user once, whoever comes meanwhile, and tokens that only this method made."""

import grpc
import pytest

from meterd.v1 import ledger_pb2

from .house import TIMEOUT_SECONDS, refused

USERS = ["Alice", "alice", "bob", "dávid", "eve", "\N{GRINNING FACE}", "z" * 128]


def _page(house, **query):
    return house.reads.ListBalances(ledger_pb2.ListBalancesRequest(**query), timeout=TIMEOUT_SECONDS)


async def _pages(house, page_size):
    """Follow the tokens to the end; return each page's users."""
    pages, token = [], ""
    while True:
        page = await _page(house, page_size=page_size, page_token=token)
        pages.append([balance.user_id for balance in page.balances])
        if not (token := page.next_page_token):
            return pages


@pytest.fixture
async def ledger(house):
    """Give each user an entry."""
    for number, user_id in enumerate(USERS):
        await house.fund(user_id, 100 + number)
    return house


@pytest.mark.parametrize("page_size", [1, 2, 6, 7, 8])
async def test_pages_hold_every_user_once(ledger, page_size):
    """Whatever the page size, the pages are full but for the last, and together are all users, in one order."""
    pages = await _pages(ledger, page_size)
    users = [user_id for page in pages for user_id in page]
    assert sorted(USERS) == sorted(users)
    assert users == [user_id for page in await _pages(ledger, 3) for user_id in page]
    assert all(len(page) == page_size for page in pages[:-1])
    assert pages[-1]


async def test_accounts_are_as_they_are_now(ledger):
    """What is listed is what GetBalance answers, with every acknowledged change."""
    await ledger.cost("bob", 3)
    listed = {balance.user_id: balance for balance in (await _page(ledger)).balances}
    assert {user_id: await ledger.balance(user_id) for user_id in USERS} == listed
    assert (99, 2) == (listed["bob"].balance_microcents, listed["bob"].version)


async def test_users_that_come_meanwhile(ledger):
    """Who was there at the first page is on one page, although others have come in between."""
    first = await _page(ledger, page_size=3)
    for user_id in ("AAA", "bobby", "zz"):
        await ledger.fund(user_id)
    rest = await _page(ledger, page_token=first.next_page_token)
    users = [balance.user_id for balance in (*first.balances, *rest.balances)]
    assert set(USERS) <= set(users)
    assert len(users) == len(set(users))


async def test_a_user_without_an_entry(house):
    """Who was only asked about is not there, and an empty ledger is one empty page."""
    await house.check("nobody")
    page = await _page(house)
    assert ([], "") == ([*page.balances], page.next_page_token)


@pytest.mark.parametrize("token", ["x", "====", "AAAA", "A" * 22, "A" * 10_000, "é", " "])
async def test_garbage_tokens(ledger, token):
    """What this method never made is refused."""
    refusal = await refused(_page(ledger, page_token=token))
    assert (grpc.StatusCode.INVALID_ARGUMENT, ["page_token"]) == (refusal.code, refusal.fields)


async def test_a_token_of_another_method(ledger):
    """Neither listing goes on from where the other stopped."""
    await ledger.fund("bob")
    entries = (await ledger.list("bob", page_size=1)).next_page_token
    users = (await _page(ledger, page_size=1)).next_page_token
    assert entries
    assert users
    assert ["page_token"] == (await refused(_page(ledger, page_token=entries))).fields
    assert ["page_token"] == (await refused(ledger.list("bob", page_token=users))).fields


async def test_page_sizes(ledger):
    """A negative size is refused, a huge one is not."""
    assert ["page_size"] == (await refused(_page(ledger, page_size=-1))).fields
    assert len(USERS) == len((await _page(ledger, page_size=2**31 - 1)).balances)
