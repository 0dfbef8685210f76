"""ListEntries: pages that neither skip nor repeat, and tokens that only fit where they were made."""

import base64

import grpc
import pytest

from .house import refused

ORDERS = {"": True, "version desc": True, "version": False, "version asc": False}


@pytest.fixture
async def ledger(house):
    """Give ada seven entries."""
    for _ in range(7):
        await house.fund()
    return house


async def _all(house, **query):
    """Follow the page tokens to the end; return each page's versions."""
    pages, token = [], ""
    while True:
        page = await house.list(page_token=token, **query)
        pages.append([entry.version for entry in page.entries])
        if not (token := page.next_page_token):
            return pages


async def _refused_fields(call):
    refusal = await refused(call)
    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT") == (refusal.code, refusal.reason)
    return refusal.fields


@pytest.mark.parametrize("order_by", ORDERS)
@pytest.mark.parametrize("page_size", [1, 2, 3, 6, 7, 8])
async def test_pages_hold_every_entry_once(ledger, order_by, page_size):
    """Whatever the page size, the pages are full but for the last, and together are the ledger in order."""
    pages = await _all(ledger, order_by=order_by, page_size=page_size)
    expected = sorted(range(1, 8), reverse=ORDERS[order_by])
    assert expected == [version for page in pages for version in page]
    assert all(len(page) == page_size for page in pages[:-1])
    assert pages[-1]


async def test_page_sizes(house):
    """0 means 100, above 1,000 means 1,000; a negative one is refused."""
    for number in range(102):
        await house.fund("few", request_id=f"{number}")
    first = await house.list("few")
    assert (100, True) == (len(first.entries), bool(first.next_page_token))
    huge = await house.list("few", page_size=2**31 - 1)
    assert (102, "") == (len(huge.entries), huge.next_page_token)
    for page_size in (-1, -(2**31)):
        assert ["page_size"] == await _refused_fields(house.list("few", page_size=page_size))


async def test_a_page_holds_at_most_1000(house):
    """Who asks for more gets 1,000 entries and a token for the rest."""
    pending = [house.fund() for _ in range(1_001)]
    for call in pending:
        await call
    assert [1000, 1] == [len(page) for page in await _all(house, page_size=1_001)]


@pytest.mark.parametrize("order_by", ["version DESC", "versions", "record_time", "version,version", " ", "desc"])
async def test_unknown_orders(ledger, order_by):
    """An order that is not documented is refused, not guessed."""
    assert ["order_by"] == await _refused_fields(ledger.list(order_by=order_by))


async def test_new_entries_do_not_move_pages(ledger):
    """Entries that arrive between pages are not in newest-first pages, and are in oldest-first ones."""
    newest = await ledger.list(page_size=3)
    oldest = await ledger.list(page_size=3, order_by="version")
    await ledger.fund()
    rest = await ledger.list(page_size=9, page_token=newest.next_page_token)
    assert [4, 3, 2, 1] == [entry.version for entry in rest.entries]
    rest = await ledger.list(page_size=9, page_token=oldest.next_page_token, order_by="version")
    assert [4, 5, 6, 7, 8] == [entry.version for entry in rest.entries]


async def test_a_token_fits_equal_orders_only(ledger):
    """A token goes on in the order it was made in, however that is spelt, and in no other."""
    token = (await ledger.list(page_size=2)).next_page_token
    assert 5 == (await ledger.list(page_token=token, order_by="version desc")).entries[0].version
    for order_by in ("version", "version asc"):
        assert ["page_token"] == await _refused_fields(ledger.list(page_token=token, order_by=order_by))


async def test_a_token_of_another_user(ledger):
    """A token does not open another user's ledger."""
    token = (await ledger.list(page_size=2)).next_page_token
    await ledger.fund("bob")
    for user_id in ("bob", "nobody"):
        assert ["page_token"] == await _refused_fields(ledger.list(user_id, page_token=token))


@pytest.mark.parametrize("token", ["x", "garbage", "=", "====", "AAAA", "A" * 22, "A" * 10_000, "é", "../", " "])
async def test_garbage_tokens(ledger, token):
    """What this server never made is refused."""
    assert ["page_token"] == await _refused_fields(ledger.list(page_token=token))


async def test_damaged_tokens(ledger):
    """A token that lost its end, or in which any one bit was flipped, is refused."""
    token = (await ledger.list(page_size=2)).next_page_token
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    flipped = [
        raw[:index] + bytes([raw[index] ^ 1 << bit]) + raw[index + 1 :] for index in range(len(raw)) for bit in range(8)
    ]
    damaged = [base64.urlsafe_b64encode(each).decode().rstrip("=") for each in flipped]
    damaged += [token[:length] for length in range(1, len(token))]
    for each in damaged:
        assert ["page_token"] == await _refused_fields(ledger.list(page_token=each))


async def test_an_unknown_user_has_no_entries(house):
    """An unknown user's ledger is one empty page."""
    page = await house.list("nobody")
    assert ([], "") == (list(page.entries), page.next_page_token)
