"""The ledger once more, as plain arithmetic: what any meterd has to come to, written from its contract with none of its code.

An operation is a dict: `do` says what, `user` whose, `id` under which request id, and the rest is what prove/operations.py lists.
What is not given is as if the caller had not said it. Amounts are in microcents, times in microseconds. The outcomes:

    {"outcome": "recorded", "entry": ..., "account": ...}    the operation made this entry
    {"outcome": "repeated", "entry": ..., "account": ...}    it had been made before
    {"outcome": "refused", "why": ..., "details": ...}       nothing was changed, but grants that were due have lapsed
    {"outcome": "checked", "allowed": ..., "shortfall": ..., "account": ...}
    {"outcome": "seen", "account": ...}                      of what the daemon does by itself: there is nothing (more) to do

Money is in pots: the base, and one for each grant. A cost takes it out of them, and remembers what it took from which, so that a
reversal can put it back. Totals are kept beside, and never used to find out what there is.
"""

BASE = "base"
_POLICY = ("credit", "unlimited", "frozen")
MOST, MOST_HELD, MOST_GRANTS = 9 * 10**18, 2 * 10**17, 100


class Refused(Exception):  # noqa: N818 -- it is an answer
    """Why an operation changes nothing, and what its caller is told of it."""


class Model:
    """Any number of users; `users` holds all that is known, so that a deep copy goes its own way."""

    def __init__(self):
        self.users = {}

    def user(self, name):
        """Return all that is known of a user; under `log`, the entries, oldest first."""
        return self.users.setdefault(name, _nobody())

    def apply(self, operation, now_us):
        """Carry out an operation and return its outcome."""
        user = self.user(operation["user"])
        try:
            return _apply(user, operation, now_us) | {"account": summary(user)}
        except Refused as refused:
            why, *details = refused.args
            return {"outcome": "refused", "why": why, "details": dict(details)}


def _apply(user, operation, now_us):
    do, request_id = operation["do"], operation.get("id")
    if do == "check":
        return _check(user, operation)
    request = {name: said for name, said in operation.items() if name not in ("price", "card")}
    if request_id in user["asked"]:
        asked, entry = user["asked"][request_id]
        if asked != request:
            raise Refused("reused")
        return {"outcome": "repeated", "entry": entry}
    _lapse(user, now_us)
    entry = _HOW[do](user, operation, now_us)
    if entry is None:
        return {"outcome": "seen"}
    user["asked"][entry["id"]] = (request, entry)
    return {"outcome": "recorded", "entry": entry}


def summary(user):
    """Return what a caller is told of an account."""
    balance, held = sum(user["pots"].values()), _held(user)
    told = {name: user[name] for name in ("funded", "spent", "lapsed", "residue", *_POLICY)}
    told |= {
        "balance": balance,
        "held": held,
        "available": balance - held + user["credit"],
        "version": len(user["log"]),
    }
    grants = [user["grants"][pot] | {"version": pot, "left": user["pots"][pot]} for pot in _order(user)]
    return told | {"grants": grants}


def _nobody():
    totals = {"funded": 0, "spent": 0, "lapsed": 0, "residue": 0}
    policy = {"credit": 0, "unlimited": False, "frozen": False}
    return totals | policy | {"pots": {BASE: 0}, "grants": {}, "holds": {}, "log": [], "asked": {}, "took": {}}


def _held(user):
    return sum(hold["held"] for hold in user["holds"].values())


def _order(user):
    grants = user["grants"]
    return sorted(grants, key=lambda pot: (grants[pot]["priority"], grants[pot]["expires"], pot))


def _write(user, now_us, kind, request_id, moves=(), *, total=None, hold=None, **said):
    """Add an entry that moves money in or out of pots and counts it in a total, if it leaves everything within bounds."""
    log, amount = user["log"], sum(moved for _, moved in moves)
    counted = {total: user[total] + (amount if total == "funded" else -amount)} if total else {}
    pots = dict(user["pots"])
    for pot, moved in moves:
        pots[pot] = pots.get(pot, 0) + moved
    holds = user["holds"] | ({hold["id"]: hold} if hold else {})
    after = user | counted | {"pots": pots, "holds": holds, "residue": said.pop("residue", user["residue"])}
    balance, held = sum(pots.values()), _held(after)
    sizes = [after["funded"], after["spent"], after["lapsed"] + balance - pots[BASE]]
    sizes += [hold["amount"], hold["captured"]] if hold else []
    if not all(0 <= size <= MOST for size in sizes) or pots[BASE] < -MOST or balance > MOST or held > MOST_HELD:
        raise Refused("out of range")
    at, held = max(now_us, log[-1]["at"] + 1) if log else now_us, held - _held(user)
    entry = {"version": len(log) + 1, "kind": kind, "amount": amount, "balance": balance, "id": request_id, "at": at}
    drawn = [(pot, -moved) for pot, moved in moves if pot != BASE and moved] if kind != "funding" else []
    entry |= {"residue": after["residue"], "held": held, "hold": hold, "drawn": drawn, **said}
    log.append(entry)
    user |= after
    return entry


def _lapse(user, now_us):
    grants, pots = user["grants"], user["pots"]
    due = [pot for pot in grants if grants[pot]["expires"] <= now_us]
    for pot in sorted(due, key=lambda pot: (grants[pot]["expires"], pot)):
        _write(user, now_us, "lapse", f"lapse {pot}", [(pot, -pots[pot])], total="lapsed")
        del grants[pot], user["pots"][pot]


def _spend(user, now_us, kind, request_id, cost, **said):
    moves = []
    for pot in _order(user):
        moves.append((pot, -min(cost, user["pots"][pot])))
        cost += moves[-1][1]
    moves.append((BASE, -cost))
    entry = _write(user, now_us, kind, request_id, moves, total="spent", **said)
    user["took"][entry["version"]] = [(pot, -moved) for pot, moved in moves]
    return entry


def _price(user, operation, name):
    """Return what an operation costs, and what of its entry follows from that."""
    if "usage" not in operation:
        return operation[name], {}
    exact = user["residue"] + operation["price"]
    return exact // 10**6, {"residue": exact % 10**6, "usage": operation["usage"], "card": operation["card"]}


def _said(operation, *names):
    return {name: operation[name] for name in names if name in operation}


def _must_be_covered(user, amount):
    if user["frozen"]:
        raise Refused("frozen")
    available = summary(user)["available"]
    if available < amount and not user["unlimited"]:
        money = [("available_microcents", available), ("required_microcents", amount)]
        raise Refused("too little", *money, ("shortfall_microcents", amount - available))


def _check(user, operation):
    minimum = operation["minimum"] if "minimum" in operation else (user["residue"] + operation["price"]) // 10**6
    missing = 0 if user["unlimited"] else max(0, minimum - summary(user)["available"])
    allowed = missing == 0 and not user["frozen"]
    return {"outcome": "checked", "allowed": allowed, "shortfall": missing}


def _cost(user, operation, now_us):
    cost, said = _price(user, operation, "cost")
    if operation.get("strict"):
        _must_be_covered(user, cost)
    service = operation.get("service") or said.get("usage", {}).get("service")
    said |= _said(operation, "labels", "occurred") | ({"service": service} if service else {})
    return _spend(user, now_us, "cost", operation["id"], cost, **said)


def _fund(user, operation, now_us):
    if "old" in operation and operation["old"] != user["funded"]:
        raise Refused("conflict", ("funded_microcents", user["funded"]))
    amount = operation["new"] - operation["old"] if "old" in operation else operation["amount"]
    pot, expires, terms = BASE, operation.get("expires"), _said(operation, "expires", "priority", "label")
    if expires is not None:
        if expires <= now_us:
            raise Refused("expired already", ("expire_time_us", expires), ("now_us", now_us))
        if len(user["grants"]) >= MOST_GRANTS:
            raise Refused("too many grants", ("grants_max", MOST_GRANTS))
        pot = len(user["log"]) + 1
    said = terms | _said(operation, "labels")
    entry = _write(user, now_us, "funding", operation["id"], [(pot, amount)], total="funded", **said)
    if pot != BASE:
        user["grants"][pot] = {"amount": amount, "priority": 0, "label": ""} | terms
    if amount > 0:
        user["took"][entry["version"]] = [(entry["version"], -amount)]
    return entry


def _reserve(user, operation, now_us):
    amount, said = _price(user, operation, "amount")
    said.pop("residue", None)  # nothing is charged yet
    floor, available = operation.get("floor", 0), summary(user)["available"]
    if floor > amount:
        raise Refused("floor over amount", ("amount_microcents", amount), ("floor_microcents", floor))
    if operation.get("partial") and 0 < available < amount and not user["unlimited"]:
        amount = available
    _must_be_covered(user, amount)
    hold = {"id": operation["id"], "version": len(user["log"]) + 1, "state": "open", "amount": amount, "held": amount}
    hold |= {"captured": 0, "floor": min(floor, amount), "charge_floor": operation.get("charge_floor", False)}
    hold |= {"expires": now_us + operation["ttl"], "in_advance": 0}
    hold["service"] = operation.get("service") or said.get("usage", {}).get("service", "")
    said |= _said(operation, "labels") | {"service": hold["service"]}
    return _write(user, now_us, "reservation", operation["id"], hold=hold, **said)


def _hold(user, operation, *states):
    """Return a copy of the reservation that an operation names, if it is in one of these states."""
    hold = user["holds"].get(operation["hold"])
    if hold is None:
        raise Refused("no such reservation", ("reservation_id", operation["hold"]))
    if hold["state"] not in states:
        raise Refused("over", ("reservation_id", hold["id"]), ("state", hold["state"].upper()))
    return dict(hold)


def _capture(user, operation, now_us):
    hold = _hold(user, operation, "open", "expired")
    cost, said = _price(user, operation, "cost")
    late, charged, was_held = hold["state"] == "expired", max(0, cost - hold["in_advance"]), hold["held"]
    hold |= {"in_advance": max(0, hold["in_advance"] - cost), "captured": hold["captured"] + charged}
    if operation.get("more_to_come"):
        hold["held"] = max(0, was_held - charged)
    else:
        hold |= {"held": 0, "state": "settled" if late else "captured"}
    said |= _said(operation, "labels", "occurred") | {"late": late, "overrun": charged > was_held and not late}
    said["service"] = hold["service"] or said.get("usage", {}).get("service", "")
    return _spend(user, now_us, "capture", operation["id"], charged, hold=hold, **said)


def _release(user, operation, now_us):
    hold = _hold(user, operation, "open") | {"held": 0, "state": "released"}
    return _write(user, now_us, "release", operation["id"], hold=hold, service=hold["service"])


def _extend(user, operation, now_us):
    hold, more = _hold(user, operation, "open"), operation.get("add", 0)
    if more:
        _must_be_covered(user, more)
    hold |= {"amount": hold["amount"] + more, "held": hold["held"] + more}
    if "ttl" in operation:
        hold["expires"] = now_us + operation["ttl"]
    return _write(user, now_us, "extension", operation["id"], hold=hold, service=hold["service"])


def _expire(user, operation, now_us):
    hold = user["holds"].get(operation["hold"])
    if hold is None or hold["state"] != "open" or hold["expires"] > now_us:
        return None
    charged = hold["charge_floor"] * max(0, hold["floor"] - hold["captured"])
    hold = hold | {"held": 0, "state": "expired", "captured": hold["captured"] + charged, "in_advance": charged}
    return _spend(user, now_us, "expiry", f"expiry {hold['version']}", charged, hold=hold, service=hold["service"])


def _policy(user, operation, now_us):
    user |= _said(operation, *_POLICY)
    return _write(user, now_us, "policy", operation["id"], policy={name: user[name] for name in _POLICY})


def _reverse(user, operation, now_us):
    version, took = operation["version"], user["took"]
    if version > len(user["log"]):
        raise Refused("no such entry", ("version", version))
    original = user["log"][version - 1]
    if version not in took:
        raise Refused("not reversible", ("version", version), ("kind", original["kind"].upper()))
    left = abs(sum(amount for _, amount in took[version]))
    rest = amount = operation.get("amount", left)
    if not 0 < amount <= left:
        raise Refused("over the entry", ("version", version), ("left_microcents", left), ("amount_microcents", amount))
    said = _said(operation, "labels") | {"reverses": version, "reversed": abs(original["amount"]) - left + amount}
    grants, pots, hold = user["grants"], user["pots"], None
    if original["kind"] == "funding":
        of_grant = min(amount, pots.get(version, 0))
        moves, still = [(BASE, of_grant - amount)], [(version, amount - left)]
        moves += [(version, -of_grant)] if of_grant else []
    else:
        moves, still = [], list(took[version])
        while rest:  # what was taken last is put back first
            pot, taken = still.pop()
            back = min(rest, taken)
            fits = min(back, grants[pot]["amount"] - pots[pot]) if pot in grants else 0
            moves += [(BASE, back - fits), (pot, fits)] if fits else [(BASE, back)]
            rest -= back
            if not rest:
                still.append((pot, taken - back))
        known = user["holds"][original["hold"]["id"]] if original["kind"] == "expiry" else {"state": "none"}
        if known["state"] == "expired" and known["in_advance"]:  # what was given back is not paid in advance any more
            hold = known | {"in_advance": max(0, known["in_advance"] - amount)}
    total = "funded" if original["kind"] == "funding" else "spent"
    entry = _write(user, now_us, "reversal", operation["id"], moves, total=total, hold=hold, **said)
    took[version] = still
    if version in grants:
        grants[version] = grants[version] | {"amount": grants[version]["amount"] - amount}
    return entry


_HOW = {"cost": _cost, "fund": _fund, "reserve": _reserve, "capture": _capture, "release": _release, "extend": _extend,
        "policy": _policy, "reverse": _reverse, "expire": _expire, "lapse": lambda *_: None}  # fmt: skip
