"""Bugs in what makes a batch durable."""

from prove.mutants.planting import planted

_ON_SQLITE = (
    *(
        f"tests/store/test_{name}.py"
        for name in ("commit", "cost_columns", "reservations", "reversals", "due", "grants", "sqlite_faults")
    ),
    *(f"tests/store/test_sqlite_{name}.py" for name in ("crash", "open", "listing", "plan")),
    *("-k", "sqlite"),
)
_ON_POSTGRES = (
    *(f"tests/store/test_{name}.py" for name in ("postgres_faults", "postgres_rivals", "commit")),
    *("-k", "postgres"),
)

MUTANTS = [
    *planted(
        "store/sqlite/writer.py",
        _ON_SQLITE,
        ("half of a batch that failed is kept", 'connection.execute("ROLLBACK")', 'connection.execute("COMMIT")'),
        (
            "a batch is acknowledged and not committed",
            'connection.execute("COMMIT")\n        except',
            'connection.execute("ROLLBACK")\n        except',
        ),
        (
            "memory does not follow what was written",
            "self._accounts.put_ahead(plan.after, plan.first_entry_id)",
            "pass",
        ),
        (
            "memory is ahead of what is written",
            "        self._execute(statements)\n",
            "        self._accounts.put_ahead(plan.after, plan.first_entry_id)\n        self._execute(statements)\n",
        ),
        ("a cost by itself draws from no grant", " or held.account.more:", ":"),
        ("a refused retry is not looked up", "if rejected and self._find(held, rejected):", "if False:"),
        ("a collision is not decided anew", "recorded = self._find(held, commands)", "recorded = {}"),
        (
            "entries are applied twice when the file is opened",
            "if version > known.account.version:",
            "if version >= known.account.version:",
        ),
        ("some entries are not applied when the file is opened", "(replay_after,)),", "(replay_after + 1,)),"),
        ("rows never catch up", "since < CATCH_UP_EVERY_ENTRIES:", "True:"),
        ("each commit has rows catch up", "since < CATCH_UP_EVERY_ENTRIES:", "False:"),
        (
            "a retry fails the whole batch",
            "except sqlite3.IntegrityError:",
            "except sqlite3.DataError:",
        ),
        (
            "reservations are not looked up",
            "read_facts(self._connection, wanted, held) if wanted else NO_FACTS",
            "NO_FACTS",
        ),
    ),
    *planted(
        "store/sqlite/plan.py",
        _ON_SQLITE,
        (
            "a user's entries lose their chain",
            "entry))\n        places[user_id] = (account_id, entry_id)",
            "entry))",
        ),
        ("a user's entries in columns lose their chain", "        last[place] = entry_id\n", ""),
        (
            "one user's cost in columns is another's",
            "[account_ids[place] for place in users.places]",
            "account_ids * count",
        ),
        ("new users have one account", "account_id or next(new_ids) for", "account_id or next_ids.account_id for"),
        (
            "a cost by itself loses its chain",
            "entry_row(entry_id, account_id, last_entry_id, entry)",
            "entry_row(entry_id, account_id, 0, entry)",
        ),
        ("costs by themselves are never marked", "if entry.version % MARK_EVERY_VERSIONS == 0:", "if False:"),
        ("what follows from entries is not written", "if after := consequences(decision.entries):", "if False:"),
    ),
    *planted(
        "store/sqlite/logs.py",
        ("tests/store/test_sqlite_logs.py",),
        ("logs are written again and not synced", "            os.fsync(descriptor)\n", "            pass\n"),
        ("only the first part of a log is written again", "while chunk :=", "if chunk :="),
    ),
    *planted(
        "store/sqlite/engine.py",
        ("tests/prove/test_disk_model.py", "tests/prove/test_proofs.py", "-k", "model or syncs"),
        ("logs are believed as they are found", "make_durable(Path(database))", "pass"),
    ),
    *planted(
        "store/sqlite/engine.py",
        ("tests/store/test_sqlite_open.py", "tests/store/test_sqlite_at_once.py", "tests/store/test_sqlite_faults.py"),
        ("the sync is skipped", '"PRAGMA synchronous = FULL"', '"PRAGMA synchronous = OFF"'),
        ("every commit but the last is synced", '"PRAGMA synchronous = FULL"', '"PRAGMA synchronous = NORMAL"'),
        (
            "a failed commit at once keeps what is in memory",
            "self._writer = None  # what it holds",
            "pass  # what it holds",
        ),
        (
            "a failed sync of the log is swallowed",
            'log.warning("copying the write-ahead log failed: %s", error)\n            self._writer = None',
            'log.warning("copying the write-ahead log failed: %s", error)',
        ),
        (
            "reopening keeps what is in memory",
            "self._reader = self._connection = self._writer = None\n        # Carried",
            "self._reader = self._connection = None\n        # Carried",
        ),
        ("a store that failed by itself does not say so", "return self._writer is None", "return False"),
        ("two daemons may have the file", "self._lock.acquire()", "pass"),
        (
            "a commit goes beside one that is under way",
            "connection.idle and len(commands)",
            "len(commands)",
        ),
        (
            "what readers wait for is written on the event loop's thread",
            "await connection.run(lambda _: writer.carry_out(prepared))",
            "writer.carry_out(prepared)",
        ),
        ("a slow disk holds the event loop up time and again", "and not self._slowness.lasts()", ""),
        (
            "a slow disk that fails at last is forgotten",
            "try:\n            return step(commands, now_us)\n        finally:\n            self._slowness.note(began_seconds)\n",
            "outcome = step(commands, now_us)\n        self._slowness.note(began_seconds)\n        return outcome\n",
        ),
    ),
    *planted(
        "store/sqlite/slowness.py",
        ("tests/store/test_sqlite_slowness.py",),
        ("a slow disk is tried as often as a quick one", "2 * self._pause_seconds if is_again else 0.0", "0.0"),
        ("one hold-up in a while is a slow disk", "if is_again else", "if True else"),
    ),
    *planted(
        "store/sqlite/consequences.py",
        _ON_SQLITE,
        ("what was reversed already is not looked up", "Original(entry, row[0] if row else 0)", "Original(entry, 0)"),
        (
            "the reversed total is not written",
            'yield from insert("REPLACE", "reversal", "account_id, version, reversed_microcents", reversals)',
            "pass",
        ),
        ("a grant that has lapsed comes due again", "yield _GRANT_DONE, (account_id_of(user_id), version)", "pass"),
    ),
    *planted(
        "store/schema/sqlite_0001.sql",
        _ON_SQLITE,
        ("request ids are not unique", "CREATE UNIQUE INDEX entry_request", "CREATE INDEX entry_request"),
    ),
    *planted(
        "store/postgres/writer.py",
        _ON_POSTGRES,
        (
            "a batch is acknowledged and not committed to PostgreSQL",
            "status = await connection.execute(COMMIT)",
            "status = COMMIT",
        ),
        (
            "a retry after a lost answer counts twice",
            "if all(recorded.get((entry.user_id, entry.request_id)) == entry for entry in decision.entries):",
            "if False:",
        ),
        ("request ids are not looked up after a rival", "attempt.look_up_all = True", "pass"),
    ),
    *planted(
        "store/postgres/engine.py",
        _ON_POSTGRES,
        (
            "a commit is cancelled with its caller",
            "return await asyncio.shield(self._keep(work))",
            "return await self._keep(work)",
        ),
        ("a read that finds the server away leaves the store as it is", "self._fail_if(active)\n", "pass\n"),
        (
            "a store that failed goes on",
            "        except Exception as error:\n            self._fail()\n",
            "        except Exception as error:\n",
        ),
    ),
    *planted(
        "store/postgres/statements.py",
        _ON_POSTGRES,
        (
            "accounts are not locked",
            "ORDER BY account.bucket, account.user_id FOR UPDATE OF account",
            "ORDER BY account.bucket, account.user_id",
        ),
    ),
]
