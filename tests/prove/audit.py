"""What has to be true of any user's ledger, entry by entry: sums, reservations, grants, versions and times.

Nothing here knows what was asked for: an audit reads entries as they come and holds the account against them.
"""

from meterd_server.model import Account, EntryKind, ReservationState
from meterd_server.rules import apply

INT64_MAX = 2**63 - 1
_SPENDING = {EntryKind.COST, EntryKind.CAPTURE, EntryKind.EXPIRY}
_OPEN, _EXPIRED = ReservationState.OPEN, ReservationState.EXPIRED
_NEXT = {
    None: {_OPEN},
    _OPEN: {_OPEN, ReservationState.CAPTURED, ReservationState.RELEASED, _EXPIRED},
    _EXPIRED: {_EXPIRED, ReservationState.SETTLED},
}


class Audit:
    """One user's ledger, so far: `entries` is all that was read of it."""

    def __init__(self, user_id):
        self.entries = []
        self._folded = Account(user_id)
        self._sums = dict.fromkeys(EntryKind, 0)
        self._reversed_costs = self._reversed_funding = self._held = 0
        self._reservations = {}
        self._grants = {}
        self._reversed = {}
        self._request_ids = set()

    def read(self, entries):
        """Take in the next entries of the user; they have to go on where the ones before ended."""
        for entry in entries:
            assert len(self.entries) + 1 == entry.version, "versions have no gap"
            assert not self.entries or self.entries[-1].record_time_us < entry.record_time_us, "times increase"
            assert entry.request_id not in self._request_ids, "a request id has one effect"
            self._request_ids.add(entry.request_id)
            self._folded = apply(self._folded, entry)
            self._sums[entry.kind] += entry.amount_microcents
            assert sum(self._sums.values()) == entry.balance_microcents, "the balance is the sum of the amounts"
            if entry.more:
                self._read_more(entry, entry.more)
            self.entries.append(entry)

    def _read_more(self, entry, more):
        self._held += more.held_microcents
        if after := more.reservation:
            before = self._reservations.get(after.reservation_id)
            assert after.state in _NEXT.get(before and before.state, set()), "a reservation ends once"
            assert after.held_microcents == 0 or after.state is _OPEN, "what is over holds nothing"
            assert after.held_microcents - (before.held_microcents if before else 0) == more.held_microcents
            self._reservations[after.reservation_id] = after
        taken_back = more.reversal.version if more.reversal and entry.amount_microcents < 0 else None
        if taken_back in self._grants:
            amount, left = self._grants[taken_back]
            self._grants[taken_back] = (amount + entry.amount_microcents, left)
        for version, drawn in more.draws:
            amount, left = self._grants[version]
            assert 0 <= left - drawn <= amount, "a grant is between nothing and what came in"
            self._grants[version] = (amount, left - drawn)
        if entry.kind is EntryKind.LAPSE:
            (draw,) = more.draws
            taken_back = self._reversed.get(draw.version, 0)
            assert self._grants.pop(draw.version) == (self.entries[draw.version - 1].amount_microcents - taken_back, 0)
        if more.grant and more.grant.expire_time_us is not None:
            self._grants[entry.version] = (entry.amount_microcents,) * 2
        if reversal := more.reversal:
            original = self.entries[reversal.version - 1]
            total = self._reversed.get(original.version, 0) + abs(entry.amount_microcents)
            assert total == reversal.reversed_microcents <= abs(original.amount_microcents), "never more than the entry"
            assert original.kind in _SPENDING | {EntryKind.FUNDING}, "no reversal of a reversal"
            assert original.amount_microcents * entry.amount_microcents < 0, "a reversal is the opposite"
            self._reversed[original.version] = total
            if original.kind in _SPENDING:
                self._reversed_costs += entry.amount_microcents
            else:
                self._reversed_funding -= entry.amount_microcents

    def holds(self, account):
        """Assert that this is the account that the entries come to."""
        assert self._folded == account, "an account is the fold of its entries"
        more, sums = account.more, self._sums
        lapsed, held, grants = (more.lapsed_microcents, more.held_microcents, more.grants) if more else (0, 0, ())
        assert sums[EntryKind.FUNDING] - self._reversed_funding == account.funded_microcents
        assert -sum(sums[kind] for kind in _SPENDING) - self._reversed_costs == account.spent_microcents
        assert -sums[EntryKind.LAPSE] == lapsed
        assert account.funded_microcents - account.spent_microcents - lapsed == account.balance_microcents
        open_ones = [each for each in self._reservations.values() if each.state is _OPEN]
        assert held == self._held == sum(each.held_microcents for each in open_ones) >= 0
        assert self._grants == {each.version: (each.amount_microcents, each.left_microcents) for each in grants}
        for size in (account.funded_microcents, account.spent_microcents, lapsed):
            assert 0 <= size <= INT64_MAX, "a total is an int64"
        for size in (account.balance_microcents, account.available_microcents):
            assert -INT64_MAX <= size <= INT64_MAX, "what there is is an int64"
