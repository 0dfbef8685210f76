"""Buckets: which one a user is in, that lanes follow from it, and that no statement of the write path touches two."""

import re
from collections import Counter

import asyncpg
import pytest

from meterd_server.model import Expire, Lapse
from meterd_server.store.postgres.buckets import BUCKETS, bucket_of
from meterd_server.store.postgres.engine import PostgresStore
from meterd_server.store.postgres.statements import make_statements
from rules.commands import capture, cost, funding, grant, policy, reserve, reverse, strict_cost, update
from store.engines import DistributedStore, postgres_url

USERS = [f"user-{number}" for number in range(60)]


class Tape:
    """Connections that write down every statement with its arguments, a list for each transaction."""

    def __init__(self):
        self.transactions = []

    async def connect(self, *args, **kwargs):
        """Make a connection, as asyncpg.connect does."""
        connection = await asyncpg.connect(*args, **kwargs)
        connection.add_query_logger(self._note)
        return connection

    def _note(self, query):
        if query.query.lstrip().startswith("BEGIN"):
            self.transactions.append([])
        elif query.query not in ("COMMIT", "ROLLBACK"):
            self.transactions[-1].append((query.query, query.args))


def test_a_bucket_is_what_it_always_was():
    """These are stored: a user's bucket is the CRC-32 of the UTF-8 bytes modulo 1024, whatever Python and machine."""
    expected = {"alice": 71, "user-1": 532, "dávid": 457, "\N{GRINNING FACE}": 324}
    assert expected == {user_id: bucket_of(user_id) for user_id in expected}


def test_users_are_spread_evenly():
    """No bucket is empty and none has twice its share, for numbered users and for any others."""
    for pattern in ("user-{}", "{}@example.com", "{:036d}"):
        sizes = Counter(bucket_of(pattern.format(number)) for number in range(100 * BUCKETS))
        assert BUCKETS == len(sizes)
        assert max(sizes.values()) < 200


@pytest.mark.parametrize(("kind", "lanes"), [(PostgresStore, 2), (DistributedStore, 1024)])
async def test_a_bucket_is_in_one_lane(tmp_path, kind, lanes):
    """Users of one bucket share a lane; where tables are distributed, a lane is a bucket."""
    store = kind(postgres_url(tmp_path), connections=8)
    await store.open()
    lane_of_bucket = {bucket_of(user_id): store.lane_of(user_id) for user_id in map(str, range(20_000))}
    assert all(lane_of_bucket[bucket_of(user_id)] == store.lane_of(user_id) for user_id in USERS)
    assert set(range(lanes)) == set(lane_of_bucket.values())
    assert lanes == store.lanes
    await store.close()


async def test_no_statement_touches_two_buckets(tmp_path):
    """Whatever a batch holds, each statement carries one bucket, all of a transaction's the same, and users of no other."""
    tape = Tape()
    store = DistributedStore(postgres_url(tmp_path), connections=4, connect=tape.connect)
    await store.open()
    tape.transactions = []
    new = [funding(user_id, 9, "f") for user_id in USERS] + [
        cost(user_id, 1, f"c{n}") for n in range(4) for user_id in USERS
    ]
    refused = [strict_cost(user_id, 999, "s") for user_id in USERS] + [update(user_id, 1, 2, "u") for user_id in USERS]
    for batch in (new, refused, new + refused, [strict_cost("nobody", 1)], new):
        await store.commit(batch, 1)
    opened = [reserve(user_id, 1, f"r{n}", ttl_us=5) for n in range(3) for user_id in USERS]
    opened += [grant(user_id, 5, 15, "g") for user_id in USERS] + [policy(user_id, unlimited=True) for user_id in USERS]
    ended = [capture(user_id, "r0", 1, "e") for user_id in USERS] + [reverse(user_id, 2, 1) for user_id in USERS]
    ended += [Expire(user_id, "expiry 1", "r1") for user_id in USERS] + [Lapse(user_id) for user_id in USERS]
    for now_us, batch in ((10, opened), (20, ended), (30, opened + ended)):
        await store.commit(batch, now_us)
    await store.close()
    statements = make_statements(store._address.schema, distributed=True)
    write_path = {
        statements.lock,
        statements.find,
        statements.update_accounts,
        statements.insert_accounts,
        statements.insert_entries,
        statements.reservations,
        statements.originals,
        statements.put_reservations,
        statements.put_reversals,
        statements.insert_grants,
        statements.grants_lapsed,
    }
    assert write_path == {query for transaction in tape.transactions for query, _ in transaction}
    for transaction in tape.transactions:
        buckets = {arguments[0] for _, arguments in transaction}
        users = {user_id for _, arguments in transaction for user_id in arguments[1]}
        assert 1 == len(buckets)
        assert buckets == {bucket_of(user_id) for user_id in users}


def test_each_statement_names_its_bucket():
    """Every table in every statement is bound to the bucket $1, and nothing but the arguments is joined to it."""
    statements = make_statements("meterd", distributed=True)
    for query in (
        statements.lock,
        statements.find,
        statements.update_accounts,
        statements.reservations,
        statements.originals,
        statements.grants_lapsed,
    ):
        for table, alias in re.findall(r'"meterd"\.(\w+) AS (\w+)', query):
            assert f"{alias}.bucket = $1::int2" in query, table
        assert len(re.findall(r'"meterd"', query)) == len(re.findall(r"bucket = \$1::int2", query))
    for query in (
        statements.insert_accounts,
        statements.insert_entries,
        statements.put_reservations,
        statements.put_reversals,
        statements.insert_grants,
    ):
        assert "SELECT $1::int2, user_id" in query
    for query in (statements.account, statements.oldest_entries, statements.newest_entries):
        assert "WHERE bucket = $1 AND user_id = $2" in query


async def test_every_key_begins_with_the_bucket(tmp_path):
    """All unique indexes of the user's tables have the bucket first and the user next; nothing else ties buckets together."""
    url = postgres_url(tmp_path)
    store = PostgresStore(url, connections=2)
    await store.open()
    schema = store._address.schema
    connection = await asyncpg.connect(store._address.url)
    indexes = await connection.fetch(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = $1 AND indexdef LIKE 'CREATE UNIQUE %'"
        " AND tablename NOT IN ('meta', 'rate_card', 'lease')",
        schema,
    )
    sequences = await connection.fetchval("SELECT count(*) FROM pg_sequences WHERE schemaname = $1", schema)
    foreign_keys = await connection.fetchval(
        "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = $1::regnamespace", schema
    )
    await connection.close()
    await store.close()
    assert [True] * 6 == ["(bucket, user_id" in index["indexdef"] for index in indexes]
    assert (0, 0) == (sequences, foreign_keys)


async def test_both_ways_of_transacting_keep_one_ledger(tmp_path):
    """A daemon that started before the database was distributed and one that started after work on it side by side."""
    before = PostgresStore(postgres_url(tmp_path), connections=4)
    await before.open()
    command = cost("alice", 5, "r")
    (first,) = await before.commit([command], 1)
    after = DistributedStore(postgres_url(tmp_path), connections=4)
    await after.open()
    (again,) = await after.commit([command], 1)
    (other,) = await after.commit([funding("alice", 5)], 1)
    assert (first.entry, True, 2) == (again.entry, again.replayed, other.entry.version)
    assert other.account == await before.account("alice")
    await before.close()
    await after.close()
