"""What costs and funding come to, and what a Check finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd_server.errors import Reason
from meterd_server.model import (
    ACCOUNT_MICROCENTS_MAX,
    GRANTS_MAX,
    Account,
    Applied,
    Checked,
    Entry,
    EntryKind,
    EntryMore,
    Rejection,
)
from meterd_server.model.flat import made
from meterd_server.pricing import PICOCENTS_PER_MICROCENT, charge
from meterd_server.rules.accounts import append, next_entry
from meterd_server.rules.fingerprints import COVERED, COVERED_STRICTLY, fingerprint
from meterd_server.rules.grants import draws_for

if TYPE_CHECKING:
    from meterd_server.model import Check, Outcome, RecordCost, RecordFunding


def decide_check(account: Account, command: Check) -> Checked:
    """How much is missing for the minimum, in microcents; 0 when it can be afforded (inclusive), or need not be."""
    minimum = command.minimum_microcents
    if command.picocents is not None:
        minimum = charge(account.residue_picocents, command.picocents).microcents
    missing = minimum - account.available_microcents
    return Checked(account, missing if missing > 0 and not account.policy.unlimited else 0)


def decide_cost(account: Account, command: RecordCost, now_us: int) -> Outcome:
    """A cost is recorded, whatever there is, unless the caller asks for it to be covered."""
    user_id, version, funded, spent, record_time_us, residue, more = account
    _, request_id, cost, service, labels, reject_overdraft, occur_time_us, _, priced = command
    usage = rate_card = None
    if priced:
        usage, picocents, rate_card = priced
        cost, residue = divmod(residue + picocents, PICOCENTS_PER_MICROCENT)  # as `charge`, in a third of its time
    if reject_overdraft and (refused := refusal(account, cost)):
        return refused
    record_time_us = now_us if now_us > record_time_us else record_time_us + 1
    balance, said = funded - spent - cost, None
    if more is not None:
        balance -= more.lapsed_microcents
        if draws := draws_for(account, cost):
            said = EntryMore(draws=draws)
    entry: Entry = made(
        Entry,
        (
            user_id,
            version + 1,
            EntryKind.COST,
            -cost,
            balance,
            request_id,
            COVERED_STRICTLY if reject_overdraft else COVERED,
            service,
            labels,
            occur_time_us,
            record_time_us,
            residue,
            usage,
            rate_card,
            said,
        ),
    )
    spent += cost
    if said is not None or spent > ACCOUNT_MICROCENTS_MAX or balance < -ACCOUNT_MICROCENTS_MAX:
        return append(account, entry)
    # What `append` comes to for most costs, in a third of its time.
    after = made(Account, (user_id, version + 1, funded, spent, record_time_us, residue, more))
    applied: Applied = made(Applied, (entry, after, False))
    return applied


def decide_funding(account: Account, command: RecordFunding, now_us: int) -> Outcome:
    """Money comes in, or the funded total is changed by whoever knows it."""
    expected = command.expected_funded_microcents
    if expected is not None and expected != account.funded_microcents:
        return Rejection(
            Reason.FUNDING_CONFLICT,
            f"the funded total is {account.funded_microcents} microcents, not {expected}",
            {"funded_microcents": account.funded_microcents},
        )
    grant = command.grant
    if grant and grant.expire_time_us is not None:
        if grant.expire_time_us <= now_us:
            return Rejection(
                Reason.GRANT_EXPIRED,
                "expire_time is not in the future",
                {"expire_time_us": grant.expire_time_us, "now_us": now_us},
            )
        if account.more and len(account.more.grants) >= GRANTS_MAX:
            return Rejection(Reason.TOO_MANY_GRANTS, f"the user has {GRANTS_MAX} grants", {"grants_max": GRANTS_MAX})
    entry = next_entry(
        account,
        now_us,
        kind=EntryKind.FUNDING,
        amount_microcents=command.amount_microcents,
        request_id=command.request_id,
        fingerprint=fingerprint(command),
        labels=command.labels,
        more=EntryMore(grant=grant) if grant else None,
    )
    return append(account, entry)


def refusal(account: Account, required_microcents: int) -> Rejection | None:
    """Why something that has to be covered is not; None if it is, or need not be."""
    policy = account.policy
    if policy.frozen:
        return Rejection(Reason.ACCOUNT_FROZEN, "the account is frozen")
    available = account.available_microcents
    if required_microcents <= available or policy.unlimited:
        return None
    return Rejection(
        Reason.INSUFFICIENT_FUNDS,
        f"{required_microcents} microcents required, {available} available",
        {
            "available_microcents": available,
            "required_microcents": required_microcents,
            "shortfall_microcents": required_microcents - available,
        },
    )
