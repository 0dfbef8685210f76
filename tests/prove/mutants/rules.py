"""Bugs in the rules and in what an account is."""

from prove.mutants.planting import planted

_RULES = (
    "tests/rules",
    *(f"tests/store/test_{name}.py" for name in ("reservations", "reversals", "grants", "due")),
    *("-k", "not postgres and not file"),
)

MUTANTS = [
    *planted(
        "rules/batch.py",
        _RULES,
        (
            "a request id that the batch used is forgotten",
            "earlier = made.get(key) or (recorded.get(key) if recorded else None)",
            "earlier = recorded.get(key)",
        ),
        (
            "a request id that was recorded before is forgotten",
            "earlier = made.get(key) or (recorded.get(key) if recorded else None)",
            "earlier = made.get(key)",
        ),
        (
            "any request under a recorded id is a replay",
            "if not is_same_request(entry, command):",
            "if False:",
        ),
        (
            "a replay says that it is none",
            "Applied(entry, account, replayed=True)",
            "Applied(entry, account, replayed=False)",
        ),
        (
            "later commands of a batch see the old account",
            "entry, changed[user_id], _ = outcome",
            "entry = outcome.entry",
        ),
        ("what a batch did to a reservation is forgotten", "books.note(entry)", "pass"),
        ("grants do not lapse before a change", "account, lapses = lapse(account, now_us)", "lapses = []"),
    ),
    *planted(
        "rules/costs.py",
        _RULES,
        (
            "a cost is rounded up",
            "cost, residue = divmod(residue + picocents, PICOCENTS_PER_MICROCENT)  # as",
            "cost, residue = -(-picocents // PICOCENTS_PER_MICROCENT), 0  # as",
        ),
        (
            "a cost's residue is forgotten",
            "cost, residue = divmod(residue + picocents, PICOCENTS_PER_MICROCENT)  # as",
            "cost = (residue + picocents) // PICOCENTS_PER_MICROCENT  # as",
        ),
        (
            "one microcent more than there is can be spent",
            "if required_microcents <= available or policy.unlimited:",
            "if required_microcents <= available + 1 or policy.unlimited:",
        ),
        (
            "the last microcent cannot be spent",
            "if required_microcents <= available or policy.unlimited:",
            "if required_microcents < available or policy.unlimited:",
        ),
        ("a frozen account may reserve", "if policy.frozen:", "if False:"),
        (
            "an update of the funded total is taken for an addition",
            "if expected is not None and expected != account.funded_microcents:",
            "if False:",
        ),
        (
            "a cost goes back in time",
            "record_time_us = now_us if now_us > record_time_us else record_time_us + 1",
            "record_time_us = now_us",
        ),
        ("what lapsed is spent again", "balance -= more.lapsed_microcents", "pass"),
        ("what a cost draws from grants is forgotten", "if draws := draws_for(account, cost):", "if False:"),
        (
            "a Check ignores the residue",
            "minimum = charge(account.residue_picocents, command.picocents).microcents",
            "minimum = charge(0, command.picocents).microcents",
        ),
    ),
    *planted(
        "rules/cost_columns.py",
        ("tests/rules/test_cost_columns.py",),
        ("a request id comes twice in columns", "if len({*request_ids}) < count and", "if False and"),
        (
            "a request id of two users is one request",
            "if len({*request_ids}) < count and",
            "if len({*request_ids}) < count or",
        ),
        (
            "columns pass over what more there is to say",
            "if any(account.more is not None for account in accounts):",
            "if False:",
        ),
        ("columns forget the residue", "divmod(residue + price, ", "divmod(price, "),
        ("columns go back in time", "now_us if now_us > record_time_us else record_time_us + 1", "now_us"),
        ("columns see the old account", "after[place] = account = made(", "account = made("),
        ("columns take an account out of range", "if max(all_spent) > ACCOUNT_MICROCENTS_MAX:", "if False:"),
    ),
    *planted(
        "rules/accounts.py",
        _RULES,
        (
            "an expiry's charge is not counted as spent",
            "if kind is EntryKind.COST or kind is EntryKind.CAPTURE or kind is EntryKind.EXPIRY:",
            "if kind is EntryKind.COST or kind is EntryKind.CAPTURE:",
        ),
        (
            "grants are drawn from in the order of their age",
            "key=lambda each: each.drawn_in_order",
            "key=lambda each: each.version",
        ),
        (
            "a grant is not used up",
            "left_microcents=grant.left_microcents - drawn.get(grant.version, 0)",
            "left_microcents=grant.left_microcents",
        ),
        ("what is held is forgotten", "more.held_microcents + said.held_microcents,", "more.held_microcents,"),
        ("a policy is forgotten", "more.policy if said.policy is None else said.policy,", "more.policy,"),
        ("a total may leave its range", "not 0 <= after.spent_microcents <= ACCOUNT_MICROCENTS_MAX", "False"),
        ("an entry goes back in time", "return now_us if now_us > last else last + 1", "return now_us"),
        (
            "an entry without a price forgets the residue",
            "account.residue_picocents if residue_picocents is None else residue_picocents,",
            "residue_picocents or 0,",
        ),
    ),
    *planted(
        "rules/reservations.py",
        _RULES,
        (
            "a capture is rounded up",
            "cost, residue = divmod(residue + picocents, PICOCENTS_PER_MICROCENT)",
            "cost, residue = -(-(residue + picocents) // PICOCENTS_PER_MICROCENT), 0",
        ),
        (
            "a reservation is released twice",
            "if found.state is not _State.OPEN:\n        return _closed(found)\n    after = found._replace(state=_State.RELEASED",
            "if False:\n        return _closed(found)\n    after = found._replace(state=_State.RELEASED",
        ),
        (
            "a reservation expires twice",
            "if found is None or found.state is not _State.OPEN:\n        return Checked",
            "if found is None:\n        return Checked",
        ),
        (
            "a reservation expires early",
            "if found.expire_time_us > now_us and found.expire_time_us != command.at_once_if_expires_us:",
            "if False:",
        ),
        ("a late capture charges what the expiry charged", "charged = cost - settled", "charged = cost"),
        (
            "a final capture leaves the rest held",
            "released = found.held_microcents if command.final else min(charged, found.held_microcents)",
            "released = min(charged, found.held_microcents)",
        ),
        ("a closed reservation is captured again", "if found.state not in (_State.OPEN, _State.EXPIRED):", "if False:"),
        ("an extension adds what there is not", "if added and (refused := refusal(account, added)):", "if False:"),
        ("a reservation needs no funds", "refused = refusal(account, amount)", "refused = None"),
        (
            "an expiry charges the floor on top of what was captured",
            "missing = max(0, found.floor_microcents - found.captured_microcents) if found.captures_floor else 0",
            "missing = found.floor_microcents if found.captures_floor else 0",
        ),
    ),
    *planted(
        "rules/grants.py",
        _RULES,
        (
            "a cost draws from the wrong grant",
            "for grant in account.more.grants:\n        if cost_microcents",
            "for grant in reversed(account.more.grants):\n        if cost_microcents",
        ),
        ("a grant lapses too late", "if grant.expire_time_us <= now_us]", "if grant.expire_time_us < now_us]"),
        (
            "a reversal puts back what was put back",
            "begin, end = reversed_microcents, reversed_microcents + amount_microcents",
            "begin, end = 0, amount_microcents",
        ),
    ),
    *planted(
        "rules/administration.py",
        _RULES,
        (
            "what was reversed already is forgotten",
            "left = abs(entry.amount_microcents) - found.reversed_microcents",
            "left = abs(entry.amount_microcents)",
        ),
        (
            "a freeze is not taken back",
            "before.frozen if command.frozen is None else command.frozen,",
            "before.frozen or bool(command.frozen),",
        ),
        (
            "a reversed funding stays in its grant",
            "return (Draw(grant.version, min(amount, grant.left_microcents)),)",
            "return ()",
        ),
    ),
    *planted(
        "rules/facts.py",
        _RULES,
        (
            "the reversed total within a batch is ignored",
            "return Original(found.entry, self._reversed.get(key, found.reversed_microcents))",
            "return found",
        ),
    ),
    *planted(
        "rules/fingerprints.py",
        _RULES,
        ("another amount is the same request", 'asked = ("cost", cost, service,', 'asked = ("cost", service,'),
    ),
    *planted(
        "model/accounts.py",
        _RULES,
        (
            "what is held can be spent",
            "more.policy.credit_limit_microcents - more.lapsed_microcents - more.held_microcents",
            "more.policy.credit_limit_microcents - more.lapsed_microcents",
        ),
    ),
]
