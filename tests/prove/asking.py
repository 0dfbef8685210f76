"""What is asked of a ledger, drawn at random: operations in which names, amounts and times are still to be put."""

from prove import dice

USERS = ("alice", "dávid")
SECOND = 1_000_000
DAY = 86_400 * SECOND
YEAR = 365 * DAY
START = 1_700_000_000 * SECOND
FRESH = "fresh"
CREDIT_MOST = 2 * 10**17

SMALL = (0, 1, 4, 25, 60, 100)
HUGE = (0, 1, 10**15, 10**17, 2 * 10**17 - 1, 2 * 10**17 + 1, 10**18, 4 * 10**18, 9 * 10**18)
PICOCENTS = (1, 333_333, 999_999, 1_000_000, 7_500_001)
"""What a unit costs by version 1, 2, ... of the rate card."""

user = dice.sampled_from([USERS[0]] * 3 + [USERS[1]])
request_id = dice.sampled_from([FRESH] * 12 + ["r1", "r2"])
which = dice.sampled_from([0] * 6 + [1, 1, 1, 2, 2, 3, 4, -1])
"""Which reservation or entry, counted from the last; -1: one that is not there."""
which_entry = dice.one_of(which, which, which, dice.just(-2))
"""The same; -2: the last expiry, of which there are few."""
amount = dice.integers(0, 2**16)
"""Which of the amounts of the day."""
ttl = dice.sampled_from([SECOND, 10 * SECOND, 300 * SECOND])
labels = dice.sampled_from([{"tier": "pro"}, {"model": "café", "tier": ""}])
service = dice.sampled_from(["chat", "ocr"])
usage = dice.tuples(dice.integers(0, 40), dice.integers(1, len(PICOCENTS)))
cost = dice.one_of(
    dice.tuples(dice.just("plain"), amount),
    dice.tuples(dice.just("plain"), amount),
    dice.tuples(dice.just("usage"), usage),
)
occurred = dice.just(-5)
flag = dice.sampled_from([False, False, True])


def _asked(do, required, optional=None):
    fixed = {"do": dice.just(do), "user": user} | ({} if do in ("check", "expire", "lapse") else {"id": request_id})
    return dice.fixed_dictionaries(fixed | required, optional=optional or {})


HOW_ASKED = {
    "check": _asked("check", {"how_much": cost}),
    "cost": _asked(
        "cost",
        {"how_much": cost},
        {"strict": dice.just(True), "service": service, "labels": labels, "occurred": occurred},
    ),
    "fund": _asked("fund", {"amount": amount}, {"label": dice.just("gift"), "labels": labels}),
    "grant": _asked(
        "fund",
        {"amount": amount, "expires": dice.sampled_from([0, SECOND, 60 * SECOND, 60 * SECOND, DAY, DAY, YEAR])},
        {"priority": dice.sampled_from([-1, 1]), "label": dice.just("promo")},
    ),
    "update": _asked("fund", {"old": dice.sampled_from(["true", "true", "wrong"]), "new": amount}),
    "reserve": _asked(
        "reserve",
        {"how_much": cost, "ttl": ttl},
        {
            "floor": dice.sampled_from([0.4, 1, 1, 2]),
            "charge_floor": dice.just(True),
            "partial": dice.just(True),
            "service": service,
            "labels": labels,
        },
    ),
    "capture": _asked(
        "capture",
        {"hold": which, "how_much": cost},
        {"more_to_come": dice.just(True), "labels": labels, "occurred": occurred},
    ),
    "release": _asked("release", {"hold": which}),
    "extend": _asked("extend", {"hold": which}, {"ttl": ttl, "add": amount}),
    "policy": _asked("policy", {}, {"credit": amount, "unlimited": flag, "frozen": flag}),
    "reverse": _asked(
        "reverse", {"version": which_entry}, {"share": dice.sampled_from([0.2, 0.5, 0.5, 1, 1.1]), "labels": labels}
    ),
    "expire": _asked("expire", {"hold": which}),
    "lapse": _asked("lapse", {}),
}


def operation_for(asked, model, *, now_us, amounts, request_id):
    """Return the operation that was drawn, about what there is in the model. `request_id` is for a new one."""
    operation = dict(asked)
    known = model.user(operation["user"])
    for kept, named in (("holds", "hold"), ("took", "version")):
        if asked.get(named, -1) >= 0 and not known[kept]:
            # Who has none would only be told so.
            operation["user"] = next((each for each in USERS if model.user(each)[kept]), asked["user"])
            known = model.user(operation["user"])
    if asked.get("id") == FRESH:
        operation["id"] = request_id
    _put_amounts(operation, amounts)
    if "expires" in operation:
        operation["expires"] += now_us
    if "old" in operation:
        operation["old"] = known["funded"] + (asked["old"] == "wrong")
    if "hold" in operation:
        # The last of them are the likeliest to be open.
        holds = sorted(known["holds"], key=lambda each: known["holds"][each]["version"])
        operation["hold"] = holds[-1 - asked["hold"] % len(holds)] if holds and asked["hold"] >= 0 else "r1"
    if "version" in operation:
        operation |= _reversal(operation.pop("share", None), asked["version"], known)
    return operation


def _put_amounts(operation, amounts):
    for name, least in (("amount", 1), ("add", 1), ("credit", 0), ("new", 0)):
        if name in operation:
            operation[name] = max(least, amounts[operation[name] % len(amounts)])
    if "credit" in operation:
        operation["credit"] = min(CREDIT_MOST, operation["credit"])
    if how_much := operation.pop("how_much", None):
        operation |= _price(operation["do"], *how_much, amounts)
    if "floor" in operation:
        much = operation["amount"] if "amount" in operation else operation["price"] // 10**6
        operation["floor"] = max(1, int(much * operation["floor"]))


def _price(do, how, what, amounts):
    if how == "plain":
        name = {"check": "minimum", "reserve": "amount"}.get(do, "cost")
        return {name: amounts[what % len(amounts)]}
    units, version = what
    price = units * PICOCENTS[version - 1]
    if do == "check":
        return {"price": price}
    used = {"service": "llm", "model": "large", "quantities": {"tokens": units}}
    return {"usage": used, "price": price, "card": ("llm", "lar*", version)}


def _reversal(share, back, known):
    """Return which entry is to be reversed, and how much of it: mostly one that can be."""
    log = known["log"]
    versions = sorted(known["took"]) if back < 3 else range(1, len(log) + 1)
    if back == -2:
        versions, back = [each for each in versions if log[each - 1]["kind"] == "expiry"] or versions, 0
    version = versions[-1 - back % len(versions)] if versions and back >= 0 else len(log) + 2
    if share is None:
        return {"version": version}
    amount = abs(log[version - 1]["amount"]) if version <= len(log) else 10
    return {"version": version, "amount": max(1, int(amount * share))}
