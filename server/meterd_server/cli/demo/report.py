"""What the demo prints: prices, charges, balances, and the promises that were seen to be kept."""

from collections import Counter

from rich.table import Table
from rich.text import Text

import meterd
from meterd_server.cli.demo.audit import CHARGES, Account
from meterd_server.cli.demo.scenario import Story
from meterd_server.cli.demo.services import cards
from meterd_server.cli.money import format_dollars, format_microcents, format_picocents
from meterd_server.cli.output import format_usage, money_cells, new_table
from meterd_server.rate_files import format_price


def prices_table() -> Table:
    """Return what the services cost."""
    table = new_table("service", "model", "meter", "price", "µ¢ a unit", numeric=("µ¢ a unit",), title="Prices")
    for card in cards():
        names = (card.service, card.model)
        for meter, picocents in card.prices.items():
            table.add_row(*names, meter, format_price(picocents, meter), format_picocents(picocents))
            names = ("", "")
    return table


def charges_table(accounts: list[Account]) -> Table:
    """Return what was charged, by user and service, from the entries that were read back."""
    numeric = ("calls", "cost", "µ¢")
    table = new_table("user", "service", "calls", "metered", "cost", "µ¢", numeric=numeric, title="Charges")
    total = 0
    calls_in_all = 0
    for account in accounts:
        user = account.balance.user_id
        for service in (card.service for card in cards()):
            costs = [entry for entry in account.entries if entry.service == service and entry.kind in CHARGES]
            if costs:
                cost = -sum(entry.amount_microcents for entry in costs)
                table.add_row(user, service, str(len(costs)), _metered(costs), *money_cells(cost))
                total, calls_in_all, user = total + cost, calls_in_all + len(costs), ""
        table.add_section()
    table.add_row("all", "", str(calls_in_all), "", *money_cells(total), style="bold")
    return table


def balances_table(accounts: list[Account]) -> Table:
    """Return every user's balance, and the sums."""
    columns = ("user", "entries", "funded", "spent", "balance", "µ¢")
    table = new_table(*columns, numeric=columns[1:], title="Balances")
    balances = [account.balance for account in accounts]
    for balance in balances:
        table.add_row(
            balance.user_id,
            str(balance.version),
            format_dollars(balance.funded_microcents),
            format_dollars(balance.spent_microcents),
            *money_cells(balance.balance_microcents),
        )
    table.add_section()
    table.add_row(
        "all",
        str(sum(balance.version for balance in balances)),
        format_dollars(sum(balance.funded_microcents for balance in balances)),
        format_dollars(sum(balance.spent_microcents for balance in balances)),
        *money_cells(sum(balance.balance_microcents for balance in balances)),
        style="bold",
    )
    return table


def promises(story: Story, accounts: list[Account]) -> list[Text]:
    """Return a line for every promise that was kept."""
    lines = []
    if story.denied is not None and story.refused is not None:
        lines += [
            kept(
                f"{story.denied_user} ran out: {story.denied_pages} pages cost "
                f"{format_dollars(story.refused.required_microcents)}, "
                f"{format_dollars(story.denied.available_microcents)} was left; check said no, "
                f"the charge was refused ({story.refused.reason})"
            ),
            kept(
                f"{story.denied_user} asked for a quote: {story.affordable_pages} pages could still be afforded; "
                f"they were scanned, and not one more could"
            ),
        ]
    if story.sent_twice:
        first, second = story.sent_twice
        lines += [
            kept(
                f"{first.entry.user_id} sent one call twice: charged once, "
                f"{format_microcents(-first.entry.amount_microcents)}; the second answer was the same entry, "
                f"replayed = {second.replayed}"
            )
        ]
    if story.reserved and story.captured:
        lines += [
            kept(
                f"{story.reserved.entry.user_id} reserved {format_dollars(story.reserved.reservation.amount_microcents)} for an "
                f"answer of unknown length; it cost {format_dollars(-story.captured.entry.amount_microcents)}, and the rest was "
                f"released"
            )
        ]
    if story.metered:
        lines += [
            kept(
                f"{story.denied_user} streamed an answer for the last {format_microcents(story.metered.captured_microcents)}, "
                f"metered as it grew, and not a microcent beyond"
            )
        ]
    entries = sum(len(account.entries) for account in accounts)
    lines += [kept(f"{entries} entries, read back and priced again, add up to every balance, to the microcent")]
    return lines


def kept(text: str) -> Text:
    """Return the line of a promise that was kept."""
    return Text.assemble(("✓ ", "green"), text)


def _metered(costs: list[meterd.Entry]) -> str:
    total: Counter[str] = Counter()
    for entry in costs:
        total.update(entry.usage.quantities if entry.usage else {})
    return format_usage(meterd.Usage("", "", total))
