"""What many clients did to a ledger at the same time, and whether some order, one after the other, would have done it.

A history is linearizable if every operation can be given a moment between its beginning and its end at which it happened at once,
such that a sequential ledger (`prove.model`) would have answered each as it was answered. Every user is on their own. The search is
Wing and Gong's with Lowe's memory of where it has been, and it knows one thing more: in which order the entries are in the end.
"""

import asyncio
from dataclasses import dataclass, field
from itertools import count

from meterd_server.company import READERS_SECONDS
from meterd_server.errors import Overloaded, StoreUnavailable
from prove.model import Model, summary
from prove.operations import command_of, in_full, told, told_account, told_entry

NOW_US = 1_700_000_000_000_000
"""The clock stands: each entry is then recorded a microsecond after the one before."""

USERS = ("alice", "bob", "carol")
NEVER = 2**63 - 1
_YEAR_US = 365 * 86_400 * 10**6


@dataclass
class Event:
    """An operation, when it began, and when and with what it ended; without an end, whether it happened is unknown."""

    operation: dict
    began: int
    ended: int = NEVER
    answer: dict | None = None

    @property
    def is_answered(self):
        """Whether its client was told."""
        return self.answer is not None


@dataclass
class History:
    """Events in the order in which they began."""

    events: list[Event] = field(default_factory=list)
    _ticks: count = field(default_factory=count)

    def begin(self, operation):
        """An operation begins now."""
        event = Event(operation, next(self._ticks))
        self.events.append(event)
        return event

    def end(self, event, answer):
        """It ends now, with this answer."""
        event.ended, event.answer = next(self._ticks), _timeless(answer)

    def forget(self, event):
        """It was turned away: it never happened."""
        self.events.remove(event)


def _timeless(answer):
    """An answer without the end of a reservation: what a clock that stands has to do with it is not asked here."""
    entry = answer.get("entry")
    if not entry or not entry["hold"]:
        return answer
    return answer | {"entry": entry | {"hold": entry["hold"] | {"expires": 0}}}


_ASKED = {
    "fund": lambda _, amount: {"amount": 2 * amount},
    "grant": lambda dice, amount: {
        "do": "fund",
        "amount": amount,
        "expires": NOW_US + _YEAR_US,
        "priority": dice.randrange(3),
    },
    "cost": lambda _, amount: {"cost": amount},
    "strict": lambda _, amount: {"do": "cost", "cost": amount, "strict": True},
    "reserve": lambda dice, amount: {"id": _hold(dice), "amount": amount, "ttl": _YEAR_US, "partial": True},
    "capture": lambda dice, amount: {"hold": _hold(dice), "cost": amount, "more_to_come": dice.random() < 0.5},
    "release": lambda dice, _: {"hold": _hold(dice)},
    "extend": lambda dice, amount: {"hold": _hold(dice), "add": amount},
    "policy": lambda _, amount: {"credit": amount},
    "reverse": lambda dice, _: {"version": dice.randrange(1, 8)},
}
_MORE_OFTEN = ("fund", "cost", "cost", "capture", "read", "read")


def _hold(dice):
    return f"hold-{dice.randrange(4)}"


def draw(dice, own_id):
    """A random operation; among few ids, so that clients repeat each other's and use each other's reservations."""
    user, amount = dice.choice(USERS), dice.choice((0, 1, 4, 25, 60, 100))
    do = dice.choice((*_ASKED, *_MORE_OFTEN))
    if do == "read":
        return {"do": "read", "user": user}
    request_id = own_id if dice.random() < 0.7 else f"shared-{dice.randrange(12)}"
    return {"do": do, "user": user, "id": request_id} | _ASKED[do](dice, amount)


def leaping_clock(dice):
    """Return a clock that, looked at, may be past all that a lane expected: so it commits now at once, now beside its readers."""
    chance, seconds = dice.choice((0, 0.2, 0.6)), 0.0

    def look():
        nonlocal seconds
        seconds += 2 * READERS_SECONDS * (dice.random() < chance)
        return seconds

    return look


async def act(ledger, dice, history, name, operations):
    """One client: so many operations, alone or a few in one piece; what is unknown is asked again, as it was, now and then."""
    done = 0
    while done < operations:
        asked = [draw(dice, f"{name}-{done + number}") for number in range(dice.choice((1, 1, 1, 3)))]
        done += len(asked)
        if asked[0]["do"] == "read":
            await _read(ledger, history, asked[0])
            continue
        changes = [each for each in asked if each["do"] != "read"]
        for _ in range(dice.choice((1, 2, 5, 20))):
            if await _submit(ledger, history, changes):
                break
            await asyncio.sleep(dice.random() / 10)


async def _read(ledger, history, operation):
    event = history.begin(operation)
    try:
        account = await ledger.account(operation["user"])
    except StoreUnavailable:
        history.forget(event)
    except asyncio.CancelledError:
        history.forget(event)
        raise
    else:
        history.end(event, {"outcome": "seen", "account": told_account(account)})


async def _submit(ledger, history, operations):
    """Whether the operations were answered, or turned away."""
    events = [history.begin(operation) for operation in operations]
    commands = [command_of(operation, Model()) for operation in operations]
    try:
        outcomes = [await ledger.submit(commands[0])] if len(commands) == 1 else await ledger.submit_all(commands)
    except Overloaded:
        for event in events:
            history.forget(event)
        return True
    except StoreUnavailable:
        return False
    for event, outcome in zip(events, outcomes, strict=True):
        history.end(event, told(outcome, event.operation))
    return True


async def contradiction(history, store):
    """What speaks against a history and what the store holds after it; empty if nothing does."""
    for user in USERS:
        entries = await store.entries(user, after_version=0, before_version=NEVER, newest_first=False, limit=10**6)
        account = await store.account(user)
        told_entries = [_timeless({"entry": told_entry(entry)})["entry"] for entry in entries]
        if len({entry["id"] for entry in told_entries}) < len(told_entries):
            return f"{user} has two entries under one request id"
        search = _Search([event for event in history.events if event.operation["user"] == user], told_entries)
        if (after := search.run()) is None:
            return f"{user}: no order explains what was answered; {search.furthest} of {len(search.events)} events are explained"
        if summary(after) != told_account(account):
            return f"{user}: the account is {told_account(account)}, which is not what its entries come to: {summary(after)}"
    return ""


class _Search:
    """For one user: events, and the entries that there are in the end."""

    def __init__(self, events, entries):
        self.events = events
        self._entries = entries
        self._been = set()
        self._all_answered = sum(1 << at for at, event in enumerate(events) if event.is_answered)
        self.furthest = 0

    def run(self):
        """The model's user after an order that explains everything; None if there is none."""
        stack = [(0, Model().user(""))]
        while stack:
            done, user = stack.pop()
            if done & self._all_answered == self._all_answered and len(user["log"]) == len(self._entries):
                return user
            # Which events have happened says in which state it is: the order of those that count is the entries'.
            if done not in self._been:
                self._been.add(done)
                self.furthest = max(self.furthest, done.bit_count())
                stack += self._next(done, user)
        return None

    def _next(self, done, user):
        left = [(at, event) for at, event in enumerate(self.events) if not done >> at & 1]
        must_begin_before = min((event.ended for _, event in left), default=NEVER)
        found = []
        for at, event in left:
            if event.began <= must_begin_before and (after := self._after(user, event)) is not None:
                if len(after["log"]) == len(user["log"]):
                    # What is explained here and changes nothing need not be tried elsewhere.
                    return [(done | 1 << at, after)]
                found.append((done | 1 << at, after))
        return found

    def _after(self, user, event):
        """The user after the event, if that is what was answered and what is in the entries; else None."""
        if event.operation["do"] == "read":
            return user if summary(user) == event.answer["account"] else None
        model = Model()
        # Deep enough: what is in these is put in anew, never changed.
        after = {name: value.copy() if isinstance(value, dict | list) else value for name, value in user.items()}
        model.users[event.operation["user"]] = after
        answer = _timeless(in_full(model.apply(event.operation, NOW_US)))
        if event.is_answered and answer != event.answer:
            return None
        count_before, log = len(user["log"]), after["log"]
        if len(log) > count_before:
            return after if len(log) <= len(self._entries) and answer["entry"] == self._entries[count_before] else None
        # One that is unknown and changes nothing explains nothing.
        return after if event.is_answered else None
