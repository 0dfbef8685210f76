"""The demo's proof: the ledger read back, priced again, added up, and compared with the balances."""

from collections.abc import Iterable
from dataclasses import dataclass

import meterd
from meterd_server.cli.demo.services import cards
from meterd_server.cli.money import PICOCENTS_PER_MICROCENT

CHARGES = (meterd.EntryKind.COST, meterd.EntryKind.CAPTURE)
"""The entries that take money for use."""


@dataclass(frozen=True)
class Account:
    """One user as the ledger has it: all entries, oldest first, and the balance."""

    entries: tuple[meterd.Entry, ...]
    balance: meterd.Balance


async def read_back(client: meterd.AsyncClient, users: Iterable[str]) -> list[Account]:
    """Return every user's entries and balance."""
    return [
        Account(
            tuple([entry async for entry in client.list_entries(user, oldest_first=True)]),
            await client.get_balance(user),
        )
        for user in users
    ]


def problems(account: Account) -> list[str]:
    """Return what does not add up, to the microcent; empty when all of it does."""
    balance, entries = account.balance, account.entries
    funded = sum(entry.amount_microcents for entry in entries if entry.kind == meterd.EntryKind.FUNDING)
    spent = -sum(entry.amount_microcents for entry in entries if entry.kind in CHARGES)
    compared = [
        ("funded", balance.funded_microcents, funded),
        ("spent", balance.spent_microcents, spent),
        ("balance", balance.balance_microcents, funded - spent),
        ("held", balance.held_microcents, sum(entry.held_microcents for entry in entries)),
        ("number of entries", balance.version, len(entries)),
    ]
    running = owed_picocents = 0
    for number, entry in enumerate(entries, start=1):
        running += entry.amount_microcents
        compared += [
            (f"version of entry {number}", entry.version, number),
            (f"balance after entry {number}", entry.balance_microcents, running),
        ]
        if entry.kind in CHARGES:
            # What is less than a microcent is carried to the next usage: that is why the sum is exact, and not only nearly.
            price, owed_picocents = divmod(owed_picocents + _price_picocents(entry), PICOCENTS_PER_MICROCENT)
            compared.append((f"cost of entry {number}", -entry.amount_microcents, price))
    compared.append(("residue", balance.residue_picocents, owed_picocents))
    return [
        f"{balance.user_id}: {what} is {found}, but the entries say {expected}"
        for what, found, expected in compared
        if found != expected
    ]


def _price_picocents(entry: meterd.Entry) -> int:
    """The price of an entry's usage, by the file of cards alone: quantity times price, added up."""
    if entry.usage is None:
        return 0
    used = entry.usage
    [prices] = [card.prices for card in cards() if (card.service, card.model) == (used.service, used.model)]
    return sum(prices[meter] * units for meter, units in used.quantities.items())
