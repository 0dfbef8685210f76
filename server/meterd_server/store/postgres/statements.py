"""The SQL, by name. It finds, locks and writes rows; it decides nothing and adds nothing up.

Each statement of the write path comes in two shapes. On a plain server its first argument is an array, the bucket of each row.
Where the tables are distributed it is the one bucket that all of its rows are in, so that the engine sends it to one place.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from meterd_server.model import ReservationState
from meterd_server.store.postgres.rows import ACCOUNT, ENTRY, RESERVATION

BEGIN = """
    BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    SET LOCAL statement_timeout = 0;
    SET LOCAL lock_timeout = '15s';
    SET LOCAL idle_in_transaction_session_timeout = '10s';
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off"""
"""Opens a transaction that nothing cancels in its COMMIT, that lets go of its locks if its daemon hangs (before others give up
waiting for them), and whose plans go by primary key even where a table has never been analyzed."""

_UNLESS_CLAIMED = " ON CONFLICT (bucket, user_id, request_id) DO NOTHING"
"""A request id that is there already is nothing for the server's log: the rows that were not written are missed by their number."""

COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"

SYNCHRONOUS = ";\n    SET LOCAL synchronous_commit = on"
"""Added to BEGIN where the server would answer before a commit is on disk."""

_ACCOUNT_NAMES = ", ".join(name for name, _ in ACCOUNT)
_ENTRY_NAMES = ", ".join(name for name, _ in ENTRY)

_VERSION = ("version", "int8")
_REVERSAL = (_VERSION, ("reversed_microcents", "int8"))
_GRANT = (_VERSION, ("expire_time_us", "int8"))


class Statements(NamedTuple):
    """The statements for one schema. `distributed`: each keeps to one bucket, its first argument."""

    schema: str
    distributed: bool
    lock: str
    """The accounts of ($1 buckets, $2 user ids) that exist, locked in one order for everyone: user_id, then ACCOUNT."""
    find: str
    """The entries recorded under ($1 buckets, $2 user ids, $3 request ids): user_id, then ENTRY."""
    update_accounts: str
    """Puts ($1 buckets, $2 user ids, then ACCOUNT) in the place of rows that are locked."""
    insert_accounts: str
    """Claims new users: ($1 buckets, $2 user ids, then ACCOUNT), in order. A rival's claim is waited for."""
    insert_entries: str
    """Claims request ids with their entries: ($1 buckets, $2 user ids, then ENTRY). One that is claimed already is left out."""
    write: str
    """The three above in one statement, their arguments one after the other; the entries only if every account was."""
    reservations: str
    """The reservations of ($1 buckets, $2 user ids, $3 reservation ids): user_id, then RESERVATION."""
    originals: str
    """The entries of ($1 buckets, $2 user ids, $3 versions): user_id, how much of it is reversed, then ENTRY."""
    put_reservations: str
    """Puts ($1 buckets, $2 user ids, then RESERVATION) in the place of what was there under these ids."""
    put_reversals: str
    """Puts ($1 buckets, $2 user ids, $3 versions, $4 how much is reversed) in the place of what was there."""
    insert_grants: str
    """Notes when grants come due: ($1 buckets, $2 user ids, $3 versions, $4 times)."""
    grants_lapsed: str
    """The grants of ($1 buckets, $2 user ids, $3 versions) come due no more."""
    due_reservations: str
    """Of open reservations whose time was over at $1, the first $2: time, user_id, version, reservation_id."""
    due_grants: str
    """The same of grants: time, user_id."""
    lease: str
    """Gives $1 the lease for $2 seconds if it has it or nobody has: a row if it is given."""
    account: str
    """The account of ($1 bucket, $2 user id): ACCOUNT."""
    oldest_entries: str
    """Entries of ($1 bucket, $2 user id) with $3 < version < $4, oldest first, at most $5: ENTRY."""
    newest_entries: str
    """The same, newest first."""
    rate_cards: str
    """Every rate card: its JSON."""
    count_rate_cards: str
    """How many rate cards there are."""
    insert_rate_cards: str
    """Keeps rate cards: ($1 services, $2 models, $3 versions, $4 JSON)."""
    users: str
    """Accounts in the order of (bucket, user_id), after ($1 bucket, $2 user id), at most $3: user_id, then ACCOUNT."""


def make_statements(schema: str, *, distributed: bool) -> Statements:
    """The statements for the tables in `schema`, a name that is safe to put into SQL."""
    account, entry = f'"{schema}".account', f'"{schema}".entry'
    bucket = "$1::int2" if distributed else "given.bucket"
    at_account = f"account.bucket = {bucket} AND account.user_id = given.user_id"
    listed = f"SELECT {_ENTRY_NAMES} FROM {entry} WHERE bucket = $1 AND user_id = $2 AND version > $3 AND version < $4"
    put = f"({_ACCOUNT_NAMES}) = ({_prefixed('given', ACCOUNT)})"
    update_accounts = f"UPDATE {account} AS account SET {put} FROM {_given(distributed, *ACCOUNT)} WHERE {at_account}"
    insert_accounts = (
        f"INSERT INTO {account} (bucket, user_id, {_ACCOUNT_NAMES})"
        f" SELECT {bucket}, user_id, {_ACCOUNT_NAMES} FROM {_given(distributed, *ACCOUNT)}"
    )
    insert_entries = (
        f"INSERT INTO {entry} (bucket, user_id, {_ENTRY_NAMES})"
        f" SELECT {bucket}, user_id, {_ENTRY_NAMES} FROM {_given(distributed, *ENTRY)}"
    )
    reservation, reversal, grant = (f'"{schema}".{table}' for table in ("reservation", "reversal", "grant_due"))
    return Statements(
        schema=schema,
        distributed=distributed,
        lock=f"SELECT account.user_id, {_prefixed('account', ACCOUNT)} FROM {_given(distributed)}"
        f" JOIN {account} AS account ON {at_account} ORDER BY account.bucket, account.user_id FOR UPDATE OF account",
        find=f"SELECT entry.user_id, {_prefixed('entry', ENTRY)} FROM {_given(distributed, ('request_id', 'bytea'))}"
        f" JOIN {entry} AS entry ON entry.bucket = {bucket} AND entry.user_id = given.user_id"
        " AND entry.request_id = given.request_id",
        update_accounts=update_accounts,
        insert_accounts=insert_accounts,
        insert_entries=insert_entries + _UNLESS_CLAIMED,
        write=_together(update_accounts, insert_accounts, insert_entries),
        reservations=f"SELECT found.user_id, {_prefixed('found', RESERVATION)} FROM {_given(distributed, RESERVATION[0])}"
        f" JOIN {reservation} AS found ON found.bucket = {bucket} AND found.user_id = given.user_id"
        " AND found.reservation_id = given.reservation_id",
        originals=f"SELECT entry.user_id, coalesce(reversed_microcents, 0), {_prefixed('entry', ENTRY)}"
        f" FROM {_given(distributed, _VERSION)}"
        f" JOIN {entry} AS entry ON entry.bucket = {bucket} AND entry.user_id = given.user_id"
        f" AND entry.version = given.version LEFT JOIN {reversal} AS reversal ON reversal.bucket = {bucket}"
        " AND reversal.user_id = given.user_id AND reversal.version = given.version",
        put_reservations=_upsert(distributed, reservation, *RESERVATION),
        put_reversals=_upsert(distributed, reversal, *_REVERSAL),
        insert_grants=f"INSERT INTO {grant} (bucket, user_id, version, expire_time_us, lapsed)"
        f" SELECT {bucket}, user_id, version, expire_time_us, false FROM {_given(distributed, *_GRANT)}",
        grants_lapsed=f"UPDATE {grant} AS grant_due SET lapsed = true FROM {_given(distributed, _VERSION)}"
        f" WHERE grant_due.bucket = {bucket} AND grant_due.user_id = given.user_id AND grant_due.version = given.version",
        due_reservations=f"SELECT expire_time_us, user_id, version, reservation_id FROM {reservation}"
        f" WHERE state = {ReservationState.OPEN:d} AND expire_time_us <= $1 ORDER BY expire_time_us LIMIT $2",
        due_grants=f"SELECT expire_time_us, user_id FROM {grant}"
        " WHERE NOT lapsed AND expire_time_us <= $1 ORDER BY expire_time_us LIMIT $2",
        lease=f'INSERT INTO "{schema}".lease AS had (one, holder, until)'
        " VALUES (1, $1, clock_timestamp() + $2::float8 * interval '1 second')"
        " ON CONFLICT (one) DO UPDATE SET holder = excluded.holder, until = excluded.until"
        " WHERE had.holder = excluded.holder OR had.until <= clock_timestamp() RETURNING 1",
        account=f"SELECT {_ACCOUNT_NAMES} FROM {account} WHERE bucket = $1 AND user_id = $2",
        oldest_entries=f"{listed} ORDER BY bucket, user_id, version LIMIT $5",
        newest_entries=f"{listed} ORDER BY bucket DESC, user_id DESC, version DESC LIMIT $5",
        rate_cards=f'SELECT card FROM "{schema}".rate_card',
        count_rate_cards=f'SELECT count(*) FROM "{schema}".rate_card',
        insert_rate_cards=f'INSERT INTO "{schema}".rate_card (service, model, version, card)'
        " SELECT * FROM unnest($1::text[], $2::text[], $3::int8[], $4::text[])",
        users=f"SELECT user_id, {_ACCOUNT_NAMES} FROM {account} WHERE (bucket, user_id) > ($1, $2)"
        " ORDER BY bucket, user_id LIMIT $3",
    )


def _upsert(distributed: bool, table: str, key: tuple[str, str], *columns: tuple[str, str]) -> str:
    """Puts rows of (bucket, user_id, key, columns) in the place of what is there under the first three."""
    bucket = "$1::int2" if distributed else "bucket"
    names = ", ".join(name for name, _ in (key, *columns))
    replaced = ", ".join(f"{name} = excluded.{name}" for name, _ in columns)
    return (
        f"INSERT INTO {table} (bucket, user_id, {names}) SELECT {bucket}, user_id, {names}"
        f" FROM {_given(distributed, key, *columns)} ON CONFLICT (bucket, user_id, {key[0]}) DO UPDATE SET {replaced}"
    )


def _prefixed(table: str, columns: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(f"{table}.{name}" for name, _ in columns)


def _given(distributed: bool, *columns: tuple[str, str]) -> str:
    """The arguments as a table `given` of (bucket, user_id, *columns); the bucket is not in it where there is but one."""
    named = (("bucket", "int2"), ("user_id", "text"), *columns)
    arrays = [(name, f"${number}::{kind}[]") for number, (name, kind) in enumerate(named, 1)][distributed:]
    return f"unnest({', '.join(array for _, array in arrays)}) AS given({', '.join(name for name, _ in arrays)})"


def _together(update_accounts: str, insert_accounts: str, insert_entries: str) -> str:
    """One statement of three. Its last argument is how many accounts there are.

    The condition reads both counts first: every account is taken before an entry is written, so that nobody waits for an entry.
    """
    account_arguments, entry_arguments = 2 + len(ACCOUNT), 2 + len(ENTRY)
    last = 2 * account_arguments + entry_arguments + 1
    return (
        f"WITH updated AS ({update_accounts} RETURNING 1),"
        f" inserted AS ({_renumbered(insert_accounts, account_arguments)} RETURNING 1)"
        f" {_renumbered(insert_entries, 2 * account_arguments)}"
        f" WHERE (SELECT count(*) FROM updated) + (SELECT count(*) FROM inserted) = ${last}::int8{_UNLESS_CLAIMED}"
    )


def _renumbered(statement: str, by: int) -> str:
    return re.sub(r"\$(\d+)", lambda argument: f"${int(argument[1]) + by}", statement)
