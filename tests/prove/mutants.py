"""The bugs that the suite has to notice: one line of the write path or the rules each, and which tests are enough.

`old` is in its file exactly once (more of its surroundings are given where the line alone is not), so that the list cannot rot. The
first few are the fastest: they are planted in every `make test`.
"""

from typing import NamedTuple

SERVER = "server/meterd_server/"


class Mutant(NamedTuple):
    """What is planted, in `file`: `new` in the place of `old`; `tests` are pytest's arguments."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def where(self) -> str:
        """The part of the server it is planted in."""
        return self.file.removeprefix(SERVER).split("/")[0].removesuffix(".py")


_ON_SQLITE = (
    *(
        f"tests/store/test_{name}.py"
        for name in ("commit", "reservations", "reversals", "due", "grants", "sqlite_faults")
    ),
    *(f"tests/store/test_sqlite_{name}.py" for name in ("crash", "open", "listing")),
    *("-k", "sqlite"),
)
_RULES = (
    "tests/rules",
    *(f"tests/store/test_{name}.py" for name in ("reservations", "reversals", "grants", "due")),
    *("-k", "not postgres and not file"),
)
_ON_POSTGRES = (
    *(f"tests/store/test_{name}.py" for name in ("postgres_faults", "postgres_rivals", "commit")),
    *("-k", "postgres"),
)


def _mutants(part: str, tests: tuple[str, ...], *changes: tuple[str, ...]) -> list[Mutant]:
    """Mutants of one file; a change is (name, old, new), and tests of its own where those of the file are too many."""
    return [Mutant(name, SERVER + part, old, new, tuple(own) or tests) for name, old, new, *own in changes]


MUTANTS: list[Mutant] = [
    *_mutants(
        "lane.py",
        ("tests/ledger",),
        (
            "a caller who left is served all the same",
            "if not waiter.answer.done():\n                batch",
            "if True:\n                batch",
        ),
        ("callers get the first one's outcomes", "first = end\n", "pass\n"),
        ("the queue never gets shorter", "self.queued_operations -= len(waiter.commands)", "pass"),
        ("a failed commit is nobody's", "self._on_failure(batch, error)\n                return", "return"),
        ("who waited behind a failure is told nothing", "waiters = list(self._queue)", "waiters: list[Waiter] = []"),
        ("a stopping lane leaves its queue", "while self._task:\n            await", "if False:\n            await"),
        (
            "a commit that was cancelled is not told",
            "except (Exception, asyncio.CancelledError) as error:\n                # A",
            "except Exception as error:\n                # A",
        ),
    ),
    *_mutants(
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
        ("later commands of a batch see the old account", "changed[user_id] = outcome.account", "pass"),
        ("what a batch did to a reservation is forgotten", "books.note(outcome.entry)", "pass"),
        ("grants do not lapse before a change", "account, lapses = lapse(account, now_us)", "lapses = []"),
    ),
    *_mutants(
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
    *_mutants(
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
    *_mutants(
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
    *_mutants(
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
    *_mutants(
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
    *_mutants(
        "rules/facts.py",
        _RULES,
        (
            "the reversed total within a batch is ignored",
            "return Original(found.entry, self._reversed.get(key, found.reversed_microcents))",
            "return found",
        ),
    ),
    *_mutants(
        "rules/fingerprints.py",
        _RULES,
        ("another amount is the same request", 'asked = ("cost", cost, service,', 'asked = ("cost", service,'),
    ),
    *_mutants(
        "model/accounts.py",
        _RULES,
        (
            "what is held can be spent",
            "more.policy.credit_limit_microcents - more.lapsed_microcents - more.held_microcents",
            "more.policy.credit_limit_microcents - more.lapsed_microcents",
        ),
    ),
    *_mutants(
        "ledger.py",
        ("tests/ledger",),
        (
            "commands are taken while the store is reopened",
            "if self._stopping or self._recovery:",
            "if self._stopping:",
        ),
        ("the queue has no bound", "if lane.queued_operations >= self._queued_max:", "if False:"),
        (
            "lanes' outcomes get out of order",
            "return [by_place[place] for place in range(len(commands))]",
            "return list(by_place.values())",
        ),
        (
            "a reopening that fails is a success",
            "await self._store.reopen()\n            except Exception as error:",
            "self._store.reopen().close()\n            except Exception as error:",
        ),
        (
            "the store is not reopened",
            "await self._store.reopen()\n            except Exception as error:",
            "pass\n            except Exception as error:",
        ),
    ),
    *_mutants(
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
        ("a refused retry is not looked up", "if recorded := self._find(held, rejected):", "if recorded := {}:"),
        ("a collision is not decided anew", "recorded = self._find(held, commands)", "recorded = {}"),
        (
            "entries are applied twice when the file is opened",
            "if version > known.account.version:",
            "if version >= known.account.version:",
        ),
        ("some entries are not applied when the file is opened", "(replay_after,)))", "(replay_after + 1,)))"),
        ("a user's entries lose their chain", "places[entry.user_id] = (account_id, entry_id)", "pass"),
        ("what follows from entries is not written", "if after := consequences(decision.entries):", "if False:"),
        (
            "reservations are not looked up",
            "facts = read_facts(self._connection, wanted, held) if wanted else NO_FACTS",
            "facts = NO_FACTS",
        ),
    ),
    *_mutants(
        "store/sqlite/logs.py",
        ("tests/store/test_sqlite_logs.py",),
        ("logs are written again and not synced", "            os.fsync(descriptor)\n", "            pass\n"),
        ("only the first part of a log is written again", "while chunk :=", "if chunk :="),
    ),
    *_mutants(
        "store/sqlite/engine.py",
        ("tests/prove/test_disk_model.py", "tests/prove/test_proofs.py", "-k", "model or syncs"),
        ("logs are believed as they are found", "make_durable(Path(database))", "pass"),
    ),
    *_mutants(
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
        ("two daemons may have the file", "self._lock.acquire()", "pass"),
        ("a commit goes beside one that is under way", "if not connection.idle or len(commands)", "if len(commands)"),
    ),
    *_mutants(
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
    *_mutants(
        "store/schema/sqlite_0001.sql",
        _ON_SQLITE,
        ("request ids are not unique", "CREATE UNIQUE INDEX entry_request", "CREATE INDEX entry_request"),
    ),
    *_mutants(
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
    *_mutants(
        "store/postgres/engine.py",
        _ON_POSTGRES,
        (
            "a commit is cancelled with its caller",
            "return await asyncio.shield(self._keep(work))",
            "return await self._keep(work)",
        ),
        (
            "a store that failed goes on",
            "        except Exception as error:\n            self._fail()\n",
            "        except Exception as error:\n",
        ),
    ),
    *_mutants(
        "store/postgres/statements.py",
        _ON_POSTGRES,
        (
            "accounts are not locked",
            "ORDER BY account.bucket, account.user_id FOR UPDATE OF account",
            "ORDER BY account.bucket, account.user_id",
        ),
    ),
    *_mutants(
        "rpc/status.py",
        ("tests/rpc",),
        (
            "a caller is told what went wrong inside",
            'make_status(Reason.INTERNAL, "internal error; the server\'s log has the cause")',
            "make_status(Reason.INTERNAL, str(error))",
        ),
        (
            "who is turned away is not told when to come again",
            'retry with the same request_id", None, retry',
            'retry with the same request_id", None',
        ),
    ),
    *_mutants(
        "rpc/streams.py",
        ("tests/rpc/test_stream.py",),
        (
            "answers that are not taken have no bound",
            "if self._streams.untaken_operations >= UNTAKEN_OPERATIONS_MAX:",
            "if False:",
        ),
        ("any number of streams may be open", "if len(self._open) >= STREAMS_OPEN_MAX:", "if False:"),
    ),
    *_mutants(
        "workers/remote.py",
        ("tests/workers",),
        ("callers of a worker get the first one's outcomes", "        first = end\n", "        pass\n"),
        (
            "what goes to the ledger has no bound",
            "if self._unanswered >= self._unanswered_max:\n            raise Overloaded",
            "if False:\n            raise Overloaded",
        ),
    ),
]
