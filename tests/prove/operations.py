"""What the model's operations are in the ledger's own words, and what its answers are in the model's.

`command_of` turns an operation into the command that a caller's request becomes; `told`, `told_entry` and `told_account` turn
what the ledger answers into what the model answers, so that the two can be compared.
"""

from meterd_server.errors import Reason
from meterd_server.model import (
    Applied,
    Capture,
    Check,
    Checked,
    Expire,
    Extend,
    GrantTerms,
    Lapse,
    PricedUsage,
    RateCardKey,
    RecordCost,
    RecordFunding,
    Release,
    Reserve,
    Reverse,
    SetPolicy,
    Usage,
)
from meterd_server.rules import expiry_request_id

_PRICED = ("usage", "price", "card")
KNOWN = {
    "check": ("minimum", "price"),
    "cost": ("cost", *_PRICED, "service", "labels", "occurred", "strict"),
    "fund": ("amount", "old", "new", "expires", "priority", "label", "labels"),
    "reserve": ("amount", *_PRICED, "ttl", "floor", "charge_floor", "partial", "service", "labels"),
    "capture": ("hold", "cost", *_PRICED, "more_to_come", "labels", "occurred"),
    "release": ("hold",),
    "extend": ("hold", "ttl", "add"),
    "policy": ("credit", "unlimited", "frozen"),
    "reverse": ("version", "amount", "labels"),
    "expire": ("hold",),
    "lapse": (),
}
"""What may be said of each operation besides `do`, `user` and `id`; `usage` is {"service", "model", "quantities"}, with its `price`
in picocents and the `card` (service, model, version) that says so."""

WHY = {
    "reused": Reason.REQUEST_ID_REUSED,
    "too little": Reason.INSUFFICIENT_FUNDS,
    "frozen": Reason.ACCOUNT_FROZEN,
    "conflict": Reason.FUNDING_CONFLICT,
    "out of range": Reason.AMOUNT_OUT_OF_RANGE,
    "expired already": Reason.GRANT_EXPIRED,
    "too many grants": Reason.TOO_MANY_GRANTS,
    "floor over amount": Reason.FLOOR_OVER_AMOUNT,
    "no such reservation": Reason.RESERVATION_NOT_FOUND,
    "over": Reason.RESERVATION_CLOSED,
    "no such entry": Reason.ENTRY_NOT_FOUND,
    "not reversible": Reason.ENTRY_NOT_REVERSIBLE,
    "over the entry": Reason.REVERSAL_OVER_ENTRY,
}
"""What the contract calls the model's reasons."""

_UNSAID = {
    "service": "", "labels": {}, "occurred": None, "usage": None, "card": None, "overrun": False, "late": False, "expires": None,
    "priority": 0, "label": "", "policy": None, "reverses": None, "reversed": None,
}  # fmt: skip


def command_of(operation, model):  # noqa: C901, PLR0911 -- one a kind
    """Return the command that an operation is; an expiry is recorded under what the model knows of its reservation."""
    said = {"labels": {}} | operation
    do, user_id, request_id = said.pop("do"), said.pop("user"), said.pop("id", None)
    unknown = set(operation) - {"do", "user", "id", *KNOWN[do]}
    assert not unknown, f"{do} knows no {unknown}"
    labels = tuple(sorted(said["labels"].items()))
    priced = _priced(said)
    get = said.get
    match do:
        case "check":
            return Check(user_id, get("minimum", 0), get("price"))
        case "cost":
            # As the wire has it: the default is that of the usage.
            service = get("service") or (priced.usage.service if priced else "")
            strict, occurred = get("strict", False), get("occurred")
            return RecordCost(user_id, request_id, get("cost", 0), service, labels, strict, occurred, priced=priced)
        case "fund":
            amount = said["new"] - said["old"] if "old" in said else said["amount"]
            terms = GrantTerms(get("expires"), get("priority", 0), get("label", ""))
            grant = None if terms == GrantTerms() else terms
            return RecordFunding(user_id, request_id, amount, get("old"), labels, grant=grant)
        case "reserve":
            fields = {
                "captures_floor": "charge_floor",
                "floor_microcents": "floor",
                "allow_partial": "partial",
                "service": "service",
            }
            given = {field: said[name] for field, name in fields.items() if name in said}
            return Reserve(user_id, request_id, get("amount", 0), said["ttl"], labels=labels, priced=priced, **given)
        case "capture":
            final, occurred = not get("more_to_come", False), get("occurred")
            cost = get("cost", 0)
            return Capture(user_id, request_id, said["hold"], cost, final, labels, occurred, priced=priced)
        case "release":
            return Release(user_id, request_id, said["hold"])
        case "extend":
            return Extend(user_id, request_id, said["hold"], get("ttl"), get("add", 0))
        case "policy":
            return SetPolicy(user_id, request_id, get("credit"), get("unlimited"), get("frozen"))
        case "reverse":
            return Reverse(user_id, request_id, said["version"], get("amount"), labels)
        case "expire":
            hold = model.user(user_id)["holds"].get(said["hold"], {"version": 0})
            return Expire(user_id, expiry_request_id(hold["version"]), said["hold"])
        case "lapse":
            return Lapse(user_id)


def operation_of(command):
    """Return the operation that one of the daemon's own commands is."""
    if isinstance(command, Lapse):
        return {"do": "lapse", "user": command.user_id}
    assert isinstance(command, Expire)
    return {"do": "expire", "user": command.user_id, "hold": command.reservation_id}


def _priced(said):
    if "usage" not in said:
        return None
    usage = said["usage"]
    used = Usage(usage["service"], usage["model"], tuple(sorted(usage["quantities"].items())))
    return PricedUsage(used, said["price"], RateCardKey(*said["card"]))


def told(outcome, operation):
    """Return an outcome as the model tells it."""
    if isinstance(outcome, Applied):
        if operation["do"] == "expire" and outcome.replayed:
            return {"outcome": "seen", "account": told_account(outcome.account)}
        how = "repeated" if outcome.replayed else "recorded"
        return {"outcome": how, "entry": told_entry(outcome.entry), "account": told_account(outcome.account)}
    if isinstance(outcome, Checked):
        if operation["do"] != "check":
            return {"outcome": "seen", "account": told_account(outcome.account)}
        found = {"allowed": outcome.allowed, "shortfall": outcome.shortfall_microcents}
        return {"outcome": "checked", **found, "account": told_account(outcome.account)}
    why = next(why for why, reason in WHY.items() if reason is outcome.reason)
    return {"outcome": "refused", "why": why, "details": dict(outcome.details)}


def in_full(outcome):
    """Return an outcome of the model with all that its entry does not say."""
    return outcome | {"entry": entry_in_full(outcome["entry"])} if "entry" in outcome else outcome


def entry_in_full(entry):
    """Return an entry of the model with all that it does not say."""
    return _UNSAID | entry


def told_entry(entry):
    """Return an entry as the model tells it, in full."""
    usage, more = entry.usage, entry.more
    said = {
        "version": entry.version,
        "kind": entry.kind.name.lower(),
        "amount": entry.amount_microcents,
        "balance": entry.balance_microcents,
        "id": entry.request_id,
        "at": entry.record_time_us,
        "residue": entry.residue_picocents,
        "service": entry.service,
        "labels": dict(entry.labels),
        "occurred": entry.occur_time_us,
        "usage": usage and {**usage._asdict(), "quantities": dict(usage.quantities)},
        "card": entry.rate_card and tuple(entry.rate_card),
        "held": more.held_microcents if more else 0,
        "hold": more and more.reservation and told_hold(more.reservation),
        "drawn": [tuple(draw) for draw in more.draws if draw.microcents] if more else [],
    }
    if more:
        said |= {"overrun": more.overrun, "late": more.late}
        if more.grant:
            said |= {"expires": more.grant.expire_time_us, "priority": more.grant.priority, "label": more.grant.label}
        if more.policy:
            said["policy"] = dict(zip(("credit", "unlimited", "frozen"), more.policy, strict=True))
        if more.reversal:
            said |= {"reverses": more.reversal.version, "reversed": more.reversal.reversed_microcents}
    return _UNSAID | said


def told_hold(reservation):
    """Return a reservation as the model tells it."""
    return {
        "id": reservation.reservation_id,
        "version": reservation.version,
        "state": reservation.state.name.lower(),
        "amount": reservation.amount_microcents,
        "held": reservation.held_microcents,
        "captured": reservation.captured_microcents,
        "floor": reservation.floor_microcents,
        "charge_floor": reservation.captures_floor,
        "expires": reservation.expire_time_us,
        "in_advance": reservation.unsettled_microcents,
        "service": reservation.service,
    }


def told_account(account):
    """Return an account as the model tells it."""
    more = account.more
    grants = [
        {
            "version": grant.version,
            "amount": grant.amount_microcents,
            "left": grant.left_microcents,
            "priority": grant.priority,
            "expires": grant.expire_time_us,
            "label": grant.label,
        }
        for grant in (more.grants if more else ())
    ]
    return {
        "balance": account.balance_microcents,
        "held": more.held_microcents if more else 0,
        "available": account.available_microcents,
        "version": account.version,
        "funded": account.funded_microcents,
        "spent": account.spent_microcents,
        "lapsed": more.lapsed_microcents if more else 0,
        "residue": account.residue_picocents,
        "credit": account.policy.credit_limit_microcents,
        "unlimited": account.policy.unlimited,
        "frozen": account.policy.frozen,
        "grants": grants,
    }
