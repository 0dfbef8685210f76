"""Moving a ledger from one store to another, whichever engines they are, and proving that both then hold the same.

Entries are taken over as they are, each user's in the order of their versions. Where it stopped is where it goes on: the account in
the new store says which of its entries are there.
"""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from meterd_server.errors import MeterdError
from meterd_server.model import Account, Entry
from meterd_server.rules import apply
from meterd_server.store.reading import ENTRIES_A_PAGE, page_of, pages

if TYPE_CHECKING:
    from collections.abc import Callable

    from meterd_server.pricing import RateCard
    from meterd_server.store import MovableStore

_DIGEST_BYTES = 32


class MoveError(MeterdError):
    """The ledgers do not fit together. The text is one line that names the first user where they differ."""


class Proof(NamedTuple):
    """What both stores hold, having been read and compared entry by entry."""

    users: int
    entries: int
    funded_microcents: int
    spent_microcents: int
    digest: str
    """Over every field of every entry, in hexadecimal; the same in whichever order an engine keeps its users."""


async def count_entries(store: MovableStore) -> int:
    """How many entries a store holds: the sum of the versions."""
    return sum([account.version async for page in pages(store) for account in page])


async def copy(source: MovableStore, target: MovableStore, advance: Callable[[int], None] = lambda _: None) -> None:
    """Take over what `target` lacks. `advance` is called with the number of entries that are done since the last call.

    Raises `MoveError`, before anything is written, if `target` holds a user that is not the same ledger's.
    """
    async for page in pages(target):
        await asyncio.gather(*[_must_go_on_from(source, target, account) for account in page])
    await _copy_rate_cards(source, target)
    async for page in pages(source):
        there = await asyncio.gather(*[target.account(account.user_id) for account in page])
        advance(sum(account.version for account in there))
        lacking = [(before, after) for before, after in zip(there, page, strict=True) if before.version < after.version]
        few = [pair for pair in lacking if pair[1].version - pair[0].version <= ENTRIES_A_PAGE]
        await _copy_few(source, target, few, advance)
        for before, after in lacking:
            if after.version - before.version > ENTRIES_A_PAGE:
                await _copy_many(source, target, before, after, advance)


async def prove(source: MovableStore, target: MovableStore, advance: Callable[[int], None] = lambda _: None) -> Proof:
    """Read everything from both and compare. Raises `MoveError` at the first difference."""
    users = entries = funded = spent = 0
    sums = [0, 0]
    async for page in pages(source):
        digests = await asyncio.gather(*[_compare(source, target, account) for account in page])
        for account, pair in zip(page, digests, strict=True):
            users, entries = users + 1, entries + account.version
            funded, spent = funded + account.funded_microcents, spent + account.spent_microcents
            sums = [total + digest for total, digest in zip(sums, pair, strict=True)]
        advance(sum(account.version for account in page))
    if await _cards_by_key(source) != await _cards_by_key(target):
        raise MoveError("the rate cards are not the same in both")
    there = sum([len(page) async for page in pages(target)])
    ours, theirs = (f"{total % 256**_DIGEST_BYTES:064x}" for total in sums)
    if (users, ours) != (there, theirs):
        raise MoveError(f"FROM has {users} users with digest {ours}, TO has {there} with {theirs}")
    return Proof(users, entries, funded, spent, ours)


async def _copy_rate_cards(source: MovableStore, target: MovableStore) -> None:
    """Take over the cards that entries name. Raises `MoveError` if the target has others of the same keys."""
    there = await target.rate_cards()
    lacking = [card for card in await source.rate_cards() if card not in there]
    if lacking and not await target.add_rate_cards(lacking):
        raise MoveError("TO holds a rate card that is not FROM's: TO must be empty, or hold an earlier part of FROM")


async def _cards_by_key(store: MovableStore) -> dict[tuple[str, str, int], RateCard]:
    return {(card.service, card.model, card.version): card for card in await store.rate_cards()}


async def _must_go_on_from(source: MovableStore, target: MovableStore, there: Account) -> None:
    """What the target has of a user is the beginning of what the source has, as far as the last entry can tell."""
    version = there.version
    ours = await page_of(source, there.user_id, version - 1, version + 1)
    if not ours or ours != await page_of(target, there.user_id, version - 1, version + 1):
        raise MoveError(
            f"TO holds entry {version} of {there.user_id!r}, which is not FROM's: TO must be empty, or hold an earlier part of FROM"
        )


async def _copy_few(
    source: MovableStore, target: MovableStore, lacking: list[tuple[Account, Account]], advance: Callable[[int], None]
) -> None:
    """Take over users who lack a page or less: several of them in one transaction."""
    read = await asyncio.gather(*[page_of(source, after.user_id, before.version) for before, after in lacking])
    entries: list[Entry] = []
    accounts: dict[str, Account] = {}
    for (before, after), more in zip(lacking, read, strict=True):
        accounts[after.user_id] = _folded(before, more, after)
        entries += more
        if len(entries) >= ENTRIES_A_PAGE:
            await target.import_entries(entries, accounts)
            advance(len(entries))
            entries, accounts = [], {}
    if entries:
        await target.import_entries(entries, accounts)
        advance(len(entries))


async def _copy_many(
    source: MovableStore, target: MovableStore, before: Account, after: Account, advance: Callable[[int], None]
) -> None:
    """Take over one user a page at a time."""
    account = before
    while account.version < after.version:
        entries = await page_of(source, after.user_id, account.version)
        account = _folded(account, entries, after)
        await target.import_entries(entries, {after.user_id: account})
        advance(len(entries))


def _folded(account: Account, entries: list[Entry], after: Account) -> Account:
    """The account after the entries; if they are the last ones, it has to be what the source says."""
    for entry in entries:
        if entry.version != account.version + 1:
            raise MoveError(f"FROM lacks entry {account.version + 1} of {after.user_id!r}")
        account = apply(account, entry)
    if not entries or (account.version == after.version and account != after):
        raise MoveError(f"the entries of {after.user_id!r} in FROM do not come to the account there")
    return account


async def _compare(source: MovableStore, target: MovableStore, account: Account) -> list[int]:
    """The digests of one user's entries in the source and in the target. Raises `MoveError` if anything differs."""
    user_id, version = account.user_id, 0
    if account != await target.account(user_id):
        raise MoveError(
            f"the account of {user_id!r} is not the same in both; if FROM is in use, stop that and move again"
        )
    hashes = [blake2b(digest_size=_DIGEST_BYTES), blake2b(digest_size=_DIGEST_BYTES)]
    while version < account.version:
        pages = await asyncio.gather(page_of(source, user_id, version), page_of(target, user_id, version))
        if pages[0] != pages[1]:
            raise MoveError(f"the entries of {user_id!r} after version {version} are not the same in both")
        if not pages[0]:
            raise MoveError(f"entry {version + 1} of {user_id!r} is missing in both")
        for digest, page in zip(hashes, pages, strict=True):
            digest.update(ascii([tuple(entry) for entry in page]).encode())
        version = pages[0][-1].version
    return [int.from_bytes(digest.digest()) for digest in hashes]
