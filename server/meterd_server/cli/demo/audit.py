"""The demo's proof: the ledger read back, priced again, added up, and compared with the balances."""

from collections.abc import Iterable
from dataclasses import dataclass

import meterd
from meterd_server.cli.demo.prices import SERVICES


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
    spent = -sum(entry.amount_microcents for entry in entries if entry.kind == meterd.EntryKind.COST)
    compared = [
        ("funded", balance.funded_microcents, funded),
        ("spent", balance.spent_microcents, spent),
        ("balance", balance.balance_microcents, funded - spent),
        ("number of entries", balance.version, len(entries)),
    ]
    running = 0
    for number, entry in enumerate(entries, start=1):
        running += entry.amount_microcents
        compared += [
            (f"version of entry {number}", entry.version, number),
            (f"balance after entry {number}", entry.balance_microcents, running),
        ]
        if entry.kind == meterd.EntryKind.COST:
            compared.append((f"cost of entry {number}", -entry.amount_microcents, _price(entry)))
    return [
        f"{balance.user_id}: {what} is {found}, but the entries say {expected}"
        for what, found, expected in compared
        if found != expected
    ]


def quantities(entry: meterd.Entry) -> dict[str, int]:
    """Return what an entry metered, by meter."""
    return {meter: int(quantity) for meter, quantity in entry.labels.items()}


def _price(entry: meterd.Entry) -> int:
    return SERVICES[entry.service].cost_microcents(quantities(entry))
