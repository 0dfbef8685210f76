"""What a store keeps besides entries and accounts, compared with what follows from the entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterd_server.audit.difference import Difference, DifferenceError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meterd_server.audit.checks import AccountAudit
    from meterd_server.model import Account, Reservation
    from meterd_server.store.reading import Snapshot

_RESERVATIONS_AT_A_TIME = 500


class KeptAudit:
    """Compares with what `snapshot` keeps. Every method raises `DifferenceError`."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    async def compare_finished(self, audit: AccountAudit) -> None:
        """Compare reservations that no entry may change any more: they need not be remembered then."""
        if audit.reservations.finished:
            await self._compare_reservations(audit.account, audit.reservations.finished)

    async def compare_rest(self, audit: AccountAudit) -> None:
        """Compare all else, after the last entry."""
        account = audit.account
        await self._compare_reservations(account, [*audit.reservations.unfinished.values()])
        if not audit.reversed and account.more is None:
            return  # rows that should not be there are found by their number
        kept = await self._snapshot.kept(account.user_id, ())
        grants = {grant.version: grant.expire_time_us for grant in account.grants}
        for what, expected, stored in (
            ("how much of entry {} is reversed, as it is kept", audit.reversed, kept.reversed_microcents),
            ("when grant {} lapses, as it is kept", grants, kept.grants_due),
        ):
            for version in sorted({*expected, *stored}):
                if expected.get(version) != stored.get(version):
                    text = what.format(version)
                    raise _difference(account, version, text, expected.get(version), stored.get(version))

    async def _compare_reservations(self, account: Account, reservations: list[Reservation]) -> None:
        for few in _parts(reservations):
            kept = await self._snapshot.kept(account.user_id, [each.reservation_id for each in few])
            for each in few:
                stored = kept.reservations.get(each.reservation_id)
                if stored != each:
                    what = f"reservation {each.reservation_id!r}, as it is kept"
                    raise _difference(account, each.version, what, each, stored)


def _parts(reservations: list[Reservation]) -> Iterable[list[Reservation]]:
    for start in range(0, len(reservations), _RESERVATIONS_AT_A_TIME):
        yield reservations[start : start + _RESERVATIONS_AT_A_TIME]


def _difference(account: Account, version: int, what: str, expected: object, stored: object) -> DifferenceError:
    return DifferenceError(Difference(account.user_id, version, what, expected, stored))
