"""Making and updating the tables, by however many daemons start at once, and reading what the schema says of itself."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from meterd_server.errors import StartupError

if TYPE_CHECKING:
    from meterd_server.store.postgres.address import Address
    from meterd_server.store.postgres.connections import Connection

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('meterd schema'), hashtext($1))"
"""One daemon at a time, for this schema; let go of with the transaction."""

_FOUND = """
    SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS schema_is_there,
           array(SELECT relname::text FROM pg_class JOIN pg_namespace AS schema ON relnamespace = schema.oid
                 WHERE nspname = $1 AND relname IN ('meta', 'account', 'entry', 'rate_card')) AS tables"""
"""What is there under the schema's name. to_regclass and its like would answer from a cache that is older than the lock."""

_RIGHTS = {
    **dict.fromkeys(("account", "reservation", "reversal", "grant_due", "lease"), ("SELECT", "INSERT", "UPDATE")),
    **dict.fromkeys(("entry", "rate_card"), ("SELECT", "INSERT")),
}
_MAY_WRITE = "SELECT " + " AND ".join(
    f"has_table_privilege(format('%I.{table}', $1::text), '{right}')"
    for table, rights in _RIGHTS.items()
    for right in rights
)
"""Whether this role may do what a daemon does."""

_CAN_DISTRIBUTE = "SELECT to_regproc('create_distributed_table') IS NOT NULL"
"""Whether the server is one that distributes tables (Citus and its kin)."""

_BY_BUCKET = ("account", "entry", "reservation", "reversal", "grant_due")
"""The tables to distribute: the first, and those kept together with it."""

_IS_DISTRIBUTED = "SELECT count(*) FROM pg_dist_partition WHERE logicalrelid = $1::regclass"
"""Whether such a server has distributed this table already."""


class Meta(NamedTuple):
    """What the schema says of itself."""

    schema_version: int
    distributed: bool


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """The versioned schema files, oldest first: (version, SQL)."""
    folder = resources.files("meterd_server.store") / "schema"
    names = sorted(file.name for file in folder.iterdir() if file.name.startswith("postgres_"))
    return tuple(
        (int(name.removeprefix("postgres_").removesuffix(".sql")), (folder / name).read_text()) for name in names
    )


async def migrate(connection: Connection, address: Address) -> Meta:
    """Bring the schema up to date, all of it in one transaction, and return what it says of itself.

    Raises `StartupError` for a schema of a newer meterd or of another application, or one that this role may not write to.
    """
    meta = await _read(connection, address)
    if meta is None or meta.schema_version < migrations()[-1][0]:
        await connection.execute("BEGIN")
        try:
            await connection.execute(_LOCK, address.schema)
            meta = await _apply(connection, address, await _read(connection, address))
            await connection.execute("COMMIT")
        except BaseException:
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
            raise
    if not await connection.fetchval(_MAY_WRITE, address.schema):
        raise StartupError(
            f"{address.place}: this role may not write to the tables in schema {address.schema}; as their owner: "
            f"GRANT USAGE ON SCHEMA {address.schema} TO ...; "
            f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {address.schema} TO ..."
        )
    return meta


async def check_current(connection: Connection, address: Address) -> None:
    """Raise `StartupError` unless there is a ledger of the newest schema, which can be read as it is."""
    meta, newest = await _read(connection, address), migrations()[-1][0]
    if meta is None:
        raise StartupError(f"{address.place} holds no ledger in schema {address.schema}")
    if meta.schema_version < newest:
        raise StartupError(
            f"{address.place} has schema version {meta.schema_version}, not {newest}: run meterd db init"
        )


async def distribute(connection: Connection, address: Address) -> list[str]:
    """Distribute the tables by bucket where the server can, record that transactions keep to one; say what was done."""
    said = []
    if await connection.fetchval(_CAN_DISTRIBUTE):
        done, together = [], ""
        for table in _BY_BUCKET:
            name = f'"{address.schema}".{table}'
            if not await connection.fetchval(_IS_DISTRIBUTED, name):
                await connection.execute(f"SELECT create_distributed_table('{name}', 'bucket'{together})")
                done.append(table)
            together = f", colocate_with => '{name}'"
        said.append(
            f"create_distributed_table: {', '.join(done)} in {address.schema} are distributed by bucket, together"
            if done
            else "the tables are distributed already"
        )
    else:
        said.append("this server has no create_distributed_table: the tables stay on it as they are")
    await connection.execute(f'UPDATE "{address.schema}".meta SET distributed = true')
    said.append("recorded: every transaction keeps to one bucket; daemons heed it from their next start on")
    return said


async def _read(connection: Connection, address: Address) -> Meta | None:
    """What the schema says of itself; None if it is not there or empty."""
    found = await connection.fetchrow(_FOUND, address.schema)
    if "meta" not in found["tables"]:
        if found["tables"]:
            raise StartupError(
                f"{address.place}: schema {address.schema} holds tables of another application; "
                "add ?schema=NAME to the address to use another one"
            )
        return None
    row = await connection.fetchrow(f'SELECT schema_version, distributed FROM "{address.schema}".meta')
    if row is None:
        raise StartupError(f"{address.place}: {address.schema}.meta is empty; restore it from a backup")
    newest = migrations()[-1][0]
    if row[0] > newest:
        raise StartupError(
            f"{address.place} has schema version {row[0]}, this meterd knows {newest}; run the newer meterd that wrote it"
        )
    return Meta(*row)


async def _apply(connection: Connection, address: Address, meta: Meta | None) -> Meta:
    """Run the schema files that are missing."""
    found = await connection.fetchrow(_FOUND, address.schema)
    if not found["schema_is_there"]:
        await connection.execute(f'CREATE SCHEMA "{address.schema}"')
    await connection.execute(f'SET LOCAL search_path = "{address.schema}"')
    at = meta.schema_version if meta else 0
    for number, sql in migrations():
        if number > at:
            await connection.execute(sql)
    newest = migrations()[-1][0]
    await connection.execute(
        f"INSERT INTO meta (one, schema_version) VALUES (1, {newest}) ON CONFLICT (one) DO UPDATE SET schema_version = {newest}"
    )
    return Meta(newest, meta.distributed if meta else False)
