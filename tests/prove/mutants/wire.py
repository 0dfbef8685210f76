"""Bugs in what callers see, and in what goes between the processes."""

from prove.mutants.planting import planted

MUTANTS = [
    *planted(
        "rpc/status.py",
        ("tests/rpc",),
        (
            "a caller is told what went wrong inside",
            'make_status(Reason.INTERNAL, "internal error; the server\'s log has the cause")',
            "make_status(Reason.INTERNAL, str(error))",
        ),
        (
            "who is turned away is not told when to come again",
            "        error_details_pb2.RetryInfo(retry_delay=delay),\n",
            "",
        ),
    ),
    *planted(
        "rpc/streams.py",
        ("tests/rpc/test_stream.py",),
        (
            "answers that are not taken have no bound",
            "if self._streams.untaken_operations >= UNTAKEN_OPERATIONS_MAX:",
            "if False:",
        ),
        ("any number of streams may be open", "if len(self._open) >= STREAMS_OPEN_MAX:", "if False:"),
    ),
    *planted(
        "rpc/untaken.py",
        ("tests/rpc/test_untaken.py",),
        ("what is over stays counted", "self._by_connection[connection] -= operations", "pass"),
        ("who holds much may ask for more", "connection in self._by_connection)", "False)"),
        ("answers have no limit", "self.operations + operations > OPERATIONS_LIMIT", "False"),
    ),
    *planted(
        "rpc/standard.py",
        ("tests/rpc/test_health.py", "-k", "leaving"),
        ("a Watch holds the stop up", "if leaving:\n", "if False:\n"),
        ("a Watch ends before it says that the server leaves", "if leaving:\n", "if self._leaving:\n"),
        ("a server that leaves may say SERVING again", "if not self._leaving:", "if True:"),
    ),
    *planted(
        "rpc/plain_costs.py",
        ("tests/rpc/test_plain_costs.py",),
        (
            "what is between two costs is left out",
            "is_all = sum(map(len, chain.from_iterable(groups))) + count == len(text)",
            "is_all = True",
        ),
        (
            "a cost may be longer than it says",
            "return service if _is_begun(head, user_length, request_head, request_length, rest_length) else None",
            "return service",
        ),
        ("a usage may be longer than it says", "usage_length != VARINTS[length]", "False"),
        ("a meter is read beyond its length", "any(ord(entry[3]) != len(meter)", "any(False"),
        (
            "of costs that are alike the first says the service",
            "* count if len(names) == 1 else",
            "* count if names else",
        ),
        (
            "a price is that of another meter",
            "tuple(card.prices[meter] for meter in meters)",
            "tuple(card.prices.values())",
        ),
        ("a cost of nothing is read", "min(costs) <= 0", "min(costs) < 0"),
    ),
    *planted(
        "rpc/plain_answers.py",
        ("tests/rpc/test_plain_costs.py",),
        (
            "answers in columns have the charge for an amount",
            "map(neg, numbers.charges_microcents)",
            "numbers.charges_microcents",
        ),
        ("an answer says a number that is 0", "if 0 in numbers:", "if False:"),
    ),
    *planted(
        "workers/frames.py",
        ("tests/workers/test_frames.py",),
        ("all costs of a frame are of one service", "services.count(services[0]) == len(services)", "True"),
        ("columns are taken for other costs", "len(commands) != len(numbers.versions)", "False"),
    ),
    *planted(
        "rpc/acceptors.py",
        ("tests/rpc/test_acceptors.py",),
        ("calls are not taken", "for _ in range(ASKED_MIN):", "for _ in ():"),
        ("nobody takes calls in the place of who answers", "if method.asked < ASKED_MIN:", "if False:"),
        ("a crowd's tasks stay for ever", "method.asked < ASKED_MAX", "True"),
        (
            "who was cancelled takes the next call",
            " and not task_is_cancelled():\n            method",
            ":\n            method",
        ),
        ("a call is read that is refused", "if not handler.request_streaming:", "if True:"),
        ("a caller who hangs up is waited for", "            call.task.cancel()", "            pass"),
        ("what is thrown into a method is lost", "self._coroutine.throw(error)", "self._coroutine.send(None)"),
        ("a call is watched twice over", "if call.watching is None:", "if True:"),
        (
            "a call that was told a status is open for ever",
            "elif not (call.is_ended or task_is_cancelled()):",
            "elif False:",
        ),
        ("nobody is told that a call is over", "            callback(self)\n", "            pass\n"),
        ("what a call has raised keeps it", "former.__traceback__ = None", "pass"),
        ("who is told a status is cancelled", "self.is_told, self.task = True, None", "pass"),
        ("who met an error is told nothing", "await _fail(call)", "pass"),
        (
            "who says nothing is told nothing",
            'await call.abort(grpc.StatusCode.UNIMPLEMENTED, "the call ended without a message")',
            "return",
        ),
        (
            "a call without a message is answered",
            "if (message := receive.message()) is None:",
            "if (message := receive.message()) is False:",
        ),
        ("any grpcio is trusted", "return all(known) and all(", "return all("),
        (
            "a grpcio without a part is trusted",
            "return all(known) and all(hasattr(cygrpc, name) for name in classes)",
            "return all(known)",
        ),
    ),
    *planted(
        "rpc/admission.py",
        ("tests/rpc/test_admission.py",),
        (
            "streams that came meanwhile make room",
            "max(0, calls - self._counts.streams())",
            "calls - self._counts.streams()",
        ),
        ("streams that stand open are work", "        self._standing_calls += 1\n", "        pass\n"),
    ),
    *planted(
        "process.py",
        ("tests/e2e/test_taking_down.py",),
        (
            "a ledger that fails leaves the server running",
            "    finally:\n        await server.stop",
            "    except OSError:\n        await server.stop",
        ),
    ),
    *planted(
        "rpc/leftovers.py",
        ("tests/rpc/test_leftovers.py",),
        ("what calls leave behind gathers", "if self._calls % EVERY_CALLS == 0:", "if False:"),
    ),
    *planted(
        "rpc/poller.py",
        ("tests/rpc/test_poller.py",),
        ("calls that are over count as under way", "self._under_way -= 1", "pass"),
        ("gRPC's thread never interrupts again", "self._set_interrupts(True)", "pass"),
        (
            "a caller alone waits behind other programs",
            "if self._interrupts and self._most >= MANY_CALLS_MIN:",
            "if self._interrupts:",
        ),
        ("another policy is overruled", "if os.sched_getscheduler(thread.native_id) == old:", "if True:"),
    ),
    *planted(
        "rpc/decode.py",
        ("tests/rpc/test_plain_costs.py",),
        (
            "operations are found where they are hidden in another field",
            "is_only_operations = bounds[-1] == len(self._raw)",
            "is_only_operations = True",
        ),
    ),
    *planted(
        "logs.py",
        ("tests/e2e/test_serving.py", "-k", "hangs_up"),
        ("who hangs up is an error in the log", "handler.addFilter(_is_no_hang_up)", "pass"),
    ),
    *planted(
        "expiry.py",
        ("tests/ledger/test_expiry.py",),
        ("a store that failed by itself is not noticed where nobody calls", "self._ledger.look_after(error)", "pass"),
    ),
    *planted(
        "workers/remote.py",
        ("tests/workers",),
        (
            "what goes to the ledger has no bound",
            "if self._unanswered >= self._unanswered_max:\n            raise Overloaded",
            "if False:\n            raise Overloaded",
        ),
    ),
]
