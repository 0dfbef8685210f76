"""Usage, decided by the rules: what an account is charged is exact in sum, however its usage is split."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from meterd_server.model import Account, Applied, Check, PricedUsage, RateCardKey, RecordCost, Usage
from meterd_server.pricing import PICOCENTS_PER_MICROCENT, RateCard
from meterd_server.rules import decide, decide_check
from rules.commands import cost, funding

KEY = RateCardKey("chat", "", 1)


def used(card, quantities, number):
    """Return the command of a usage, with the price that the card says."""
    usage = Usage("chat", "", tuple(sorted(quantities.items())))
    return RecordCost("ada", f"use-{number}", 0, "chat", priced=PricedUsage(usage, card.price(quantities), KEY))


def some_card(random):
    """Return a card of up to three plain prices, from a picocent to ten thousand microcents a unit, cheap ones as often as dear."""
    meters = "abc"[: random.randrange(1, 4)]
    return RateCard("chat", "", {meter: random.randrange(10 ** random.randrange(1, 11)) for meter in meters})


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_the_charges_are_the_price_of_the_sum(seed):
    """For any plain prices and any split of any usage, among other changes: 10,000 random cases, 100 for each seed.

    The residue is carried by the account alone, as the rules leave it.
    """
    random = Random(seed)
    for _ in range(100):
        card, account, whole, charged = some_card(random), Account("ada"), {}, 0
        for number in range(random.randrange(1, 10)):
            call = {meter: random.randrange(10 ** random.randrange(1, 7)) for meter in card.prices}
            whole = {meter: whole.get(meter, 0) + units for meter, units in call.items()}
            other = random.choice((None, cost("ada", 3), funding("ada", 5)))
            for command in (used(card, call, number), other):
                if command is None:
                    continue
                outcome = decide(account, command, number)
                assert isinstance(outcome, Applied)
                account = outcome.account
                charged -= outcome.entry.amount_microcents if command is not other else 0
        assert divmod(card.price(whole), PICOCENTS_PER_MICROCENT) == (charged, account.residue_picocents)


def test_a_refused_usage_leaves_the_residue():
    """What is not charged owes nothing: the account is as it was."""
    card = RateCard("chat", "", {"a": 700_000})
    account = decide(Account("ada"), used(card, {"a": 1}, 1), 1).account
    refused = decide(account, used(card, {"a": 1}, 2)._replace(reject_overdraft=True), 2)
    assert ("INSUFFICIENT_FUNDS", 1) == (refused.reason, refused.details["required_microcents"])
    assert 700_000 == account.residue_picocents


def test_a_check_of_a_usage_counts_the_residue():
    """A usage that is affordable by itself is not, when what is owed below a microcent makes the charge one more."""
    account = Account("alice", 1, 1, 0, 1, 600_000)
    assert (1, 0) == tuple(
        decide_check(account, Check("alice", 0, picocents)).shortfall_microcents for picocents in (1_400_000, 1_399_999)
    )
