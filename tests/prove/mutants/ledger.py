"""Bugs on the way from a caller's commands to their outcomes."""

from prove.mutants.planting import planted

MUTANTS = [
    *planted(
        "lane.py",
        ("tests/ledger",),
        (
            "a caller who left is served all the same",
            "if not waiter.answer.done():\n                batch",
            "if True:\n                batch",
        ),
        ("callers get the first one's outcomes", "first = end\n", "pass\n"),
        ("a lane goes on waiting when all are there", "            _wake(self._enough)\n", "            pass\n"),
        ("the queue never gets shorter", "self.queued_operations -= len(waiter.commands)", "pass"),
        ("a failed commit is nobody's", "self._on_failure(batch, error)\n                return", "return"),
        ("who waited behind a failure is told nothing", "waiters = list(self._queue)", "waiters: list[Waiter] = []"),
        ("a stopping lane leaves its queue", "while self._task or self._looks_left:", "if False:"),
        ("a stopping lane forgets who came while it looked around", " or self._looks_left:", ":"),
        ("who comes while a lane looks around goes first", " and not self._looks_left:", ":"),
        (
            "who came while a lane looked around waits for ever",
            "        if self._queue:\n            self._task",
            "        if False:\n            self._task",
        ),
        (
            "a commit at once holds up readers again",
            "if self._readers.are_expected and len(commands) <",
            "if False and len(commands) <",
        ),
        ("many commands go beside readers", "are_expected and len(commands) < COMPANY_CALLERS_MIN:", "are_expected:"),
        ("a commit beside is not known of", "self._readers.are_beside(True)", "pass"),
        ("a commit beside never ends", "            self._readers.are_beside(False)", "            pass"),
        (
            "a commit that was cancelled is not told",
            "except (Exception, asyncio.CancelledError) as error:\n                # A",
            "except Exception as error:\n                # A",
        ),
    ),
    *planted(
        "company.py",
        ("tests/ledger/test_lane.py",),
        ("callers who are gone are waited for", "deque(maxlen=_BATCHES_REMEMBERED)", "deque()"),
        ("nobody looks whether more callers come", "if now >= self._wait_for_all_after_seconds:", "if False:"),
    ),
    *planted(
        "company.py",
        ("tests/ledger/test_readers.py",),
        ("nobody is ever held up", "return self._clock() < self._until_seconds", "return False"),
        ("who reads beside a commit is not seen", "if self._is_beside or now <", "if now <"),
        (
            "who reads where nobody is ever held up is expected again",
            "self._held_up_until_seconds: float | None = None",
            "self._held_up_until_seconds = 0.0",
        ),
        (
            "who waited for a commit is not seen",
            "if self._is_beside or now < self._held_up_until_seconds:",
            "if self._is_beside:",
        ),
        (
            "who reads and writes by turns is taken for two",
            "if self._is_beside or now < self._held_up_until_seconds:",
            "if True:",
        ),
    ),
    *planted(
        "ledger.py",
        ("tests/ledger",),
        ("nobody is told of readers", "            lane.note_reader()\n", "            pass\n"),
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
            "a read that fails reopens a store that goes on",
            "if self._store.needs_reopening and self._recovery is None",
            "if self._recovery is None",
        ),
        ("reads do not tell that the store has failed", "            self.look_after(error)\n", ""),
        (
            "a ledger that has stopped reopens its store",
            "self._recovery is None and not self._stopping:",
            "self._recovery is None:",
        ),
        (
            "the store is not reopened",
            "await self._store.reopen()\n            except Exception as error:",
            "pass\n            except Exception as error:",
        ),
    ),
]
