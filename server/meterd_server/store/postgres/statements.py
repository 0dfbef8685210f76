"""The SQL, by name. It finds, locks and writes rows; it decides nothing and adds nothing up.

Each statement of the write path comes in two shapes. On a plain server its first argument is an array, the bucket of each row.
Where the tables are distributed it is the one bucket that all of its rows are in, so that the engine sends it to one place.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from meterd_server.store.postgres.rows import ACCOUNT, ENTRY

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
