"""What has to hold of one user's entries, and of the account that they come to. Pure: fed entry by entry, in order.

Each entry is checked against those before it, so that the first one which does not fit is the one that is named.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from meterd_server.audit.difference import Difference, DifferenceError
from meterd_server.audit.reservations import KINDS, Reservations
from meterd_server.model import NOTHING_MORE, Account, EntryKind
from meterd_server.pricing import PICOCENTS_PER_MICROCENT
from meterd_server.rules import apply

if TYPE_CHECKING:
    from meterd_server.model import Entry, EntryMore

_SPENT = frozenset((EntryKind.COST, EntryKind.CAPTURE, EntryKind.EXPIRY))
_MOVES_NOTHING = frozenset((EntryKind.RESERVATION, EntryKind.RELEASE, EntryKind.EXTENSION, EntryKind.POLICY))
_SAYS_MORE = KINDS | {EntryKind.REVERSAL, EntryKind.POLICY, EntryKind.LAPSE}

_HASHES_AT_A_TIME = 1_000_000


def hash_of(request_id: str) -> int:
    """64 bits of a request id, the same in this process only."""
    return hash(request_id)


class AccountAudit:
    """Rebuilds one user's account from the entries, and checks each of them. Every method raises `DifferenceError`.

    It keeps 16 bytes an entry, and the reservations that may still change. When it is not `thorough`, it keeps nothing of an entry,
    and does not look for a request id that is there twice, nor at what a reversal reverses.
    """

    def __init__(self, user_id: str, *, thorough: bool = True) -> None:
        self.account = Account(user_id)
        """What the entries so far come to."""
        self.reservations = Reservations()
        self.reversed: dict[int, int] = {}
        """By the version of an entry, how much of it was reversed."""
        self._thorough = thorough
        self._sums = dict.fromkeys(EntryKind, 0)
        self._given_back = 0
        self._request_ids = array("q")
        # What may be reversed of each entry, with the sign of its amount.
        self._reversible = array("q")

    def take(self, entry: Entry) -> None:
        """Take in the next entry."""
        before = self.account
        kind, amount, said = entry.kind, entry.amount_microcents, entry.more
        after = apply(before, entry)
        if (
            entry.version != before.version + 1
            or entry.record_time_us <= before.record_time_us
            or entry.balance_microcents != before.balance_microcents + amount
            or after.balance_microcents != entry.balance_microcents
            or not 0 <= entry.residue_picocents < PICOCENTS_PER_MICROCENT
            or entry.user_id != before.user_id
        ):
            self._name(entry, before, after)
        if amount > 0 and (kind in _SPENT or kind is EntryKind.LAPSE):
            self._expect(entry, False, f"amount_microcents of a {kind.name}", "0 or less", amount)
        if amount and kind in _MOVES_NOTHING:
            self._expect(entry, False, f"amount_microcents of a {kind.name}", 0, amount)
        if said is not None:
            self._take_more(entry, said, before, after)
        elif kind in _SAYS_MORE:
            self._expect(entry, False, f"what a {kind.name} says of itself", "something", "nothing")
        if kind is EntryKind.REVERSAL and amount > 0:
            self._given_back += amount
        else:
            self._sums[kind] += amount
        if self._thorough:
            self._request_ids.append(hash_of(entry.request_id))
            self._reversible.append(amount if kind in _SPENT or (kind is EntryKind.FUNDING and amount > 0) else 0)
        self.account = after

    def compare(self, stored: Account, *, is_whole: bool = True) -> None:
        """Compare what all the entries come to with the sums over them, and with the account that is stored.

        One that came over the network is not whole: the residue is not told of each entry, nor the account's record time.
        """
        rebuilt = self.account
        more, stored_more = rebuilt.more or NOTHING_MORE, stored.more or NOTHING_MORE
        sums = self._sums
        funded = sums[EntryKind.FUNDING] + sums[EntryKind.REVERSAL]
        spent = -sum(sums[kind] for kind in _SPENT) - self._given_back
        lapsed = -sums[EntryKind.LAPSE]
        comparisons: tuple[tuple[str, object, object], ...] = (
            ("version", rebuilt.version, stored.version),
            ("funded_microcents: funding - what was taken back", funded, rebuilt.funded_microcents),
            ("spent_microcents: costs - what was given back", spent, rebuilt.spent_microcents),
            ("lapsed_microcents: all that lapsed", lapsed, more.lapsed_microcents),
            ("balance_microcents: funded - spent - lapsed", funded - spent - lapsed, stored.balance_microcents),
            (
                "held_microcents: the sum of open reservations",
                self.reservations.held_microcents,
                stored_more.held_microcents,
            ),
            ("funded_microcents of the account", rebuilt.funded_microcents, stored.funded_microcents),
            ("spent_microcents of the account", rebuilt.spent_microcents, stored.spent_microcents),
            ("lapsed_microcents of the account", more.lapsed_microcents, stored_more.lapsed_microcents),
            ("policy of the account", more.policy, stored_more.policy),
            ("grants of the account", more.grants, stored_more.grants),
        )
        if is_whole:
            comparisons += (
                ("residue_picocents of the account", rebuilt.residue_picocents, stored.residue_picocents),
                ("record time of the account", rebuilt.record_time_us, stored.record_time_us),
            )
        for what, expected, found in comparisons:
            if expected != found:
                raise DifferenceError(Difference(rebuilt.user_id, rebuilt.version, what, expected, found))

    def repeated(self) -> set[int]:
        """The hashes of request ids that more than one entry may have; if there are any, all entries are to be looked at again."""
        hashes = self._request_ids
        parts = 1 + len(hashes) // _HASHES_AT_A_TIME
        for part in range(parts):
            some = hashes if parts == 1 else [each for each in hashes if each % parts == part]
            if len(set(some)) < len(some):
                seen: set[int] = set()
                return {each for each in some if each in seen or seen.add(each)}  # type: ignore[func-returns-value]
        return set()

    def _take_more(self, entry: Entry, said: EntryMore, before: Account, after: Account) -> None:
        kind = entry.kind
        if kind in KINDS or (kind is EntryKind.REVERSAL and said.reservation):
            self.reservations.take(entry, said)
        elif said.held_microcents or said.reservation:
            self._expect(entry, False, f"what a {kind.name} says of a reservation", "nothing", said.reservation)
        if kind is EntryKind.REVERSAL and self._thorough:
            self._take_reversal(entry, said)
        if kind is EntryKind.POLICY:
            self._expect(entry, said.policy is not None, "the policy of a POLICY", "one", None)
        grants = before.more.grants if before.more else ()
        standing = {grant.version for grant in grants}
        for draw in said.draws:
            self._expect(
                entry, draw.version in standing, "the grant that it draws from", "one that stands", draw.version
            )
        if said.draws and kind in _SPENT:
            drawn = sum(draw.microcents for draw in said.draws)
            fits = drawn <= -entry.amount_microcents and min(draw.microcents for draw in said.draws) > 0
            self._expect(
                entry, fits, "what it draws from grants", f"above 0, to {-entry.amount_microcents} in all", drawn
            )
        if kind is EntryKind.LAPSE:
            left = [
                (grant.version, grant.left_microcents)
                for grant in grants
                if grant.left_microcents == -entry.amount_microcents
            ]
            lapsed = [tuple(draw) for draw in said.draws]
            self._expect(entry, len(lapsed) == 1 and lapsed[0] in left, "the grant that lapses", left, lapsed)
        for grant in after.more.grants if after.more else ():
            if not 0 <= grant.left_microcents <= grant.amount_microcents:
                what = f"left_microcents of grant {grant.version}"
                self._expect(entry, False, what, f"0 to {grant.amount_microcents}", grant.left_microcents)

    def _take_reversal(self, entry: Entry, said: EntryMore) -> None:
        amount, reversal = entry.amount_microcents, said.reversal
        if reversal is None:
            raise DifferenceError(Difference(entry.user_id, entry.version, "the entry that it reverses", "one", None))
        version, total = reversal
        original = self._reversible[version - 1] if 0 < version < entry.version else 0
        self._expect(entry, original != 0, "the entry that it reverses", "a cost or money that came in", version)
        fits = amount != 0 and (amount < 0) == (original > 0)
        self._expect(entry, fits, f"amount_microcents of the reversal of {original}", "of the other sign", amount)
        expected = self.reversed.get(version, 0) + abs(amount)
        self._expect(entry, total == expected, f"how much of entry {version} is reversed", expected, total)
        self._expect(
            entry, total <= abs(original), f"how much of entry {version} is reversed", f"{abs(original)} at most", total
        )
        self.reversed[version] = total

    def _name(self, entry: Entry, before: Account, after: Account) -> None:
        """Say which of the things that hold for every entry does not."""
        residue = entry.residue_picocents
        each_time: tuple[tuple[str, bool, object, object], ...] = (
            ("user", entry.user_id == before.user_id, before.user_id, entry.user_id),
            ("version of the next entry", entry.version == before.version + 1, before.version + 1, entry.version),
            (
                "record time in microseconds",
                entry.record_time_us > before.record_time_us,
                f"above {before.record_time_us}",
                entry.record_time_us,
            ),
            (
                "residue_picocents",
                0 <= residue < PICOCENTS_PER_MICROCENT,
                f"0 to {PICOCENTS_PER_MICROCENT - 1}",
                residue,
            ),
        )
        for what, holds, expected, found in each_time:
            self._expect(entry, holds, what, expected, found)
        stored = entry.balance_microcents
        chained = before.balance_microcents + entry.amount_microcents
        self._expect(entry, stored == chained, "balance_microcents", chained, stored)
        self._expect(entry, False, "balance_microcents: funded - spent - lapsed", after.balance_microcents, stored)

    def _expect(self, entry: Entry, holds: bool, what: str, expected: object, stored: object) -> None:
        if not holds:
            raise DifferenceError(Difference(self.account.user_id, entry.version, what, expected, stored))
