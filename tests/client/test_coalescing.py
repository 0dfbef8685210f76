"""What callers ask for at once travels together, and each of them gets what they would have got alone."""

import asyncio
import os
import threading
from collections import Counter, deque

import grpc
import pytest

import meterd
from meterd import _calls
from meterd.v1 import metering_pb2

from .callers import Tasks, Threads, gathering, start_in_order, until, waiting

Code = grpc.StatusCode
NO_PAUSE = meterd.RetryPolicy(initial_backoff_seconds=0)
FUNDS = {"available_microcents": "3", "required_microcents": "5", "shortfall_microcents": "2"}


def cost(user_id, cost_microcents=5, **options):
    """Return a record_cost call, to be started."""
    return "record_cost", (user_id, cost_microcents), options


def users(batch):
    """Return the users of a batch's operations, in order."""
    return [getattr(each, each.WhichOneof("operation")).user_id for each in batch.operations]


@pytest.fixture(params=[Threads, Tasks])
def crowd(request, daemon):
    """Return a function that makes a client of either kind for many callers at once."""
    made = []

    def crowd(**options):
        made.append(request.param(daemon.address, **{"retry": NO_PAUSE} | options))
        return made[-1]

    yield crowd
    daemon.released.set()
    daemon.batch_released.set()
    for callers in made:
        callers.end()


def test_a_thousand_callers_each_get_their_own_answer(crowd, daemon):
    """However many ask at once, each gets the answer to its own call, and few messages were needed."""
    callers = crowd()
    with gathering(callers, daemon):
        futures = [callers.start("record_cost", f"user-{number}", number) for number in range(1_000)]
        until(lambda: waiting(callers) == 1_000)
    entries = [future.result().entry for future in futures]
    assert [(f"user-{number}", -number) for number in range(1_000)] == [
        (entry.user_id, entry.amount_microcents) for entry in entries
    ]
    assert 1_000 == sum(len(batch.operations) for batch in daemon.batches)
    assert len(daemon.batches) <= 4


def test_a_caller_alone_is_not_in_a_batch(client, daemon):
    """Calls one after the other are unary calls, sent at once."""
    client.check("alice")
    client.record_cost("alice", 5)
    client.record_funding("alice", 5)
    client.update_funding("alice", old_amount_microcents=5, new_amount_microcents=6)
    assert ([], 4) == (daemon.batches, len(daemon.requests))


def test_every_kind_of_call_and_outcome_in_one_batch(crowd, daemon):
    """A batch holds what was asked for in the order it was asked; each caller gets its own result or its own exception."""
    callers = crowd()
    daemon.scripts = {"poor": deque([daemon.failure(Code.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS", FUNDS)])}
    daemon.scripts["bad"] = deque(
        [daemon.failure(Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", violations=(("service", "is too long"),))]
    )
    with gathering(callers, daemon):
        rich, poor, bad, funded, updated, checked = start_in_order(
            callers,
            cost("rich", request_id="r-1"),
            cost("poor", request_id="r-2", reject_overdraft=True),
            cost("bad", request_id="r-3"),
            ("record_funding", ("funded", 7), {}),
            ("update_funding", ("updated",), {"old_amount_microcents": 0, "new_amount_microcents": 9}),
            ("check", ("checked", 0), {}),
        )
    assert "r-1" == rich.result().entry.request_id
    refused, wrong = poor.exception(), bad.exception()
    assert (meterd.InsufficientFundsError, 2, "r-2", FUNDS) == (
        type(refused),
        refused.shortfall_microcents,
        refused.request_id,
        refused.metadata,
    )
    assert (meterd.InvalidArgumentError, Code.INVALID_ARGUMENT, (("service", "is too long"),), "r-3") == (
        type(wrong),
        wrong.code,
        wrong.field_violations,
        wrong.request_id,
    )
    assert [meterd.EntryKind.FUNDING] * 2 == [future.result().entry.kind for future in (funded, updated)]
    assert checked.result().allowed
    assert [["rich", "poor", "bad", "funded", "updated", "checked"]] == [users(batch) for batch in daemon.batches]


def test_a_part_that_failed_is_tried_again(crowd, daemon):
    """Only what was OVERLOADED or UNAVAILABLE is sent again, as the same request."""
    callers = crowd()
    daemon.scripts = {
        "late": deque([daemon.failure(Code.RESOURCE_EXHAUSTED, "OVERLOADED")]),
        "later": deque([daemon.failure(Code.UNAVAILABLE, "STORE_UNAVAILABLE")]),
    }
    with gathering(callers, daemon):
        futures = start_in_order(callers, cost("well"), cost("late"), cost("later"))
    ids = [future.result().entry.request_id for future in futures]
    costs = [each for each in daemon.requests if isinstance(each, metering_pb2.RecordCostRequest)]
    assert {"well": 1, "late": 2, "later": 2} == Counter(each.user_id for each in costs)
    assert set(ids) == {each.request_id for each in costs}


def test_a_batch_that_failed_is_tried_again(crowd, daemon):
    """When the whole Batch is UNAVAILABLE, each caller goes on for itself, with its own attempts."""
    callers = crowd()
    daemon.batch_script.append(daemon.failure(Code.UNAVAILABLE, "STORE_UNAVAILABLE"))
    with gathering(callers, daemon):
        futures = start_in_order(callers, cost("alice", request_id="r-1"), cost("bob", request_id="r-2"))
    assert ["r-1", "r-2"] == [future.result().entry.request_id for future in futures]


def test_a_batch_that_failed_for_good(crowd, daemon):
    """An error of the whole Batch is everyone's, each with their own request_id."""
    callers = crowd(retry=meterd.RetryPolicy(attempts=1))
    daemon.batch_script.append(daemon.failure(Code.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after={"seconds": 7}))
    with gathering(callers, daemon):
        futures = start_in_order(callers, cost("alice", request_id="r-1"), cost("bob", request_id="r-2"))
    errors = [future.exception() for future in futures]
    assert [(meterd.OverloadedError, "r-1", 7.0), (meterd.OverloadedError, "r-2", 7.0)] == [
        (type(error), error.request_id, error.retry_after_seconds) for error in errors
    ]


def test_a_deadline_before_sending_is_the_callers_own(crowd, daemon):
    """Who has waited for its turn long enough stops, and is not sent; the others wait on."""
    callers = crowd()
    with gathering(callers, daemon):
        brief, patient, other = start_in_order(
            callers, cost("brief", request_id="r-1", timeout_seconds=0.05), cost("patient"), cost("other")
        )
        error = brief.exception()
    assert (meterd.DeadlineExceededError, "r-1") == (type(error), error.request_id)
    assert [-5, -5] == [future.result().entry.amount_microcents for future in (patient, other)]
    assert [["patient", "other"]] == [users(batch) for batch in daemon.batches]


def test_a_deadline_after_sending_is_the_callers_own(crowd, daemon):
    """Who has waited for the daemon long enough stops; the others in the batch get their answers."""
    callers = crowd()
    daemon.batch_released.clear()
    with gathering(callers, daemon):
        brief, patient = start_in_order(callers, cost("brief", timeout_seconds=0.3), cost("patient"))
    assert isinstance(brief.exception(), meterd.DeadlineExceededError)
    assert not patient.done()
    daemon.batch_released.set()
    assert -5 == patient.result().entry.amount_microcents


def test_a_silent_daemon_holds_nobody_beyond_their_timeout(crowd, daemon):
    """When nothing is ever answered, everyone gets their DeadlineExceededError, whether sent or not."""
    callers = crowd(timeout_seconds=0.2)
    daemon.released.clear()
    futures = [callers.start("record_cost", f"user-{number}", 5) for number in range(20)]
    assert {meterd.DeadlineExceededError} == {type(future.exception()) for future in futures}
    assert 0 == waiting(callers)


def test_closed_while_others_wait(crowd, daemon):
    """Whoever waits when the client is closed is told so, whether sent or not, and nothing more is sent."""
    callers = crowd()
    with gathering(callers, daemon) as held:
        futures = start_in_order(callers, cost("alice"), cost("bob"))
        callers.close()
        assert [RuntimeError] * 4 == [type(future.exception()) for future in (*held, *futures)]
    assert [] == daemon.batches


def test_closed_while_a_batch_is_under_way(crowd, daemon):
    """Whoever is in a batch when the client is closed is told so."""
    callers = crowd()
    daemon.batch_released.clear()
    with gathering(callers, daemon):
        futures = start_in_order(callers, cost("alice"), cost("bob"))
    until(lambda: daemon.batches)
    callers.close()
    assert [RuntimeError] * 2 == [type(future.exception()) for future in futures]


def test_a_daemon_without_batch_is_asked_alone(crowd, daemon):
    """A daemon that knows no Batch is asked for one once; everything then goes by itself, and nobody notices."""
    callers = crowd(retry=meterd.RetryPolicy(attempts=1))
    daemon.batch_script.append(daemon.Failure(Code.UNIMPLEMENTED))
    with gathering(callers, daemon):
        futures = start_in_order(callers, cost("alice", 1), cost("bob", 2))
    assert [-1, -2] == [future.result().entry.amount_microcents for future in futures]
    daemon.released.clear()
    more = [callers.start("check", "alice") for _ in range(5)]
    until(lambda: len(daemon.requests) == 9)
    daemon.released.set()
    assert [True] * 5 == [future.result().allowed for future in more]
    assert 1 == len(daemon.batches)


def test_a_message_that_is_too_long_is_divided(crowd, daemon):
    """When gRPC finds a batch too long for one side, its operations go by themselves, and later batches are smaller."""
    callers = crowd(retry=meterd.RetryPolicy(attempts=1))
    daemon.batch_script.append(daemon.Failure(Code.RESOURCE_EXHAUSTED, "Received message larger than max"))
    for _ in range(2):
        with gathering(callers, daemon):
            futures = start_in_order(callers, *[cost(f"user-{number}", number) for number in range(4)])
        assert [0, -1, -2, -3] == [future.result().entry.amount_microcents for future in futures]
        until(lambda: not list(callers.exchange()._gathering.unanswered()))
        while daemon.calls.acquire(blocking=False):
            pass  # what arrived in this round is no call of the next
    assert [4, 2] == [len(batch.operations) for batch in daemon.batches[:2]]


def test_off_is_off(crowd, daemon):
    """With coalesce=False every call goes by itself, whatever is under way."""
    callers = crowd(coalesce=False)
    daemon.released.clear()
    futures = [callers.start("record_cost", "alice", number) for number in range(6)]
    for _ in futures:
        daemon.wait_for_call()
    daemon.released.set()
    assert [-number for number in range(6)] == [future.result().entry.amount_microcents for future in futures]
    assert [] == daemon.batches


@pytest.mark.parametrize("results", [[], [metering_pb2.OperationResult()] * 2])
def test_a_senseless_answer(crowd, daemon, results):
    """A Batch that is answered with too few results, or with none of the kinds there are, is the daemon's fault."""
    callers = crowd()
    daemon.batch_script.append(metering_pb2.BatchResponse(results=results))
    with gathering(callers, daemon):
        futures = start_in_order(callers, cost("alice", request_id="r-1"), cost("bob", request_id="r-2"))
    assert [(meterd.InternalError, "r-1"), (meterd.InternalError, "r-2")] == [
        (type(error), error.request_id) for error in (future.exception() for future in futures)
    ]


def test_a_task_cancelled_before_sending_is_not_sent(daemon):
    """Nobody is charged for what was cancelled while it waited for its turn; its neighbours go on."""
    callers = Tasks(daemon.address)
    with gathering(callers, daemon):
        alice, bob, carol = start_in_order(callers, cost("alice"), cost("bob"), cost("carol"))
        bob.cancel()
        until(lambda: waiting(callers) == 2)
    assert ["alice", "carol"] == [future.result().entry.user_id for future in (alice, carol)]
    assert [["alice", "carol"]] == [users(batch) for batch in daemon.batches]
    callers.end()


async def test_a_task_cancelled_after_sending_disturbs_nobody(daemon):
    """The others in the batch get their answers, and the client works on."""
    daemon.batch_released.clear()
    async with meterd.AsyncClient(daemon.address) as client:
        tasks = [asyncio.create_task(client.record_cost(user, 5)) for user in ("alice", "bob")]
        await asyncio.to_thread(daemon.wait_for_call)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        daemon.batch_released.set()
        assert "bob" == (await tasks[1]).entry.user_id
        assert await client.check("alice")
    assert [["alice", "bob"]] == [users(batch) for batch in daemon.batches]


async def test_a_task_cancelled_when_its_turn_comes(daemon):
    """A turn that comes in the moment its task is cancelled is not lost to the others."""
    async with meterd.AsyncClient(daemon.address) as client:
        for _ in range(5):
            task = asyncio.create_task(client.check("alice"))
            await asyncio.sleep(0)  # it asks
            await asyncio.sleep(0)  # it is told that it is its turn
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await client.check("alice")
    assert 1 == len(daemon.requests)


async def test_nothing_runs_after_close(daemon):
    """A client that is closed leaves no task behind, whatever was under way."""
    daemon.batch_released.clear()
    client = meterd.AsyncClient(daemon.address)
    tasks = [asyncio.create_task(client.check("alice")) for _ in range(3)]
    await asyncio.to_thread(daemon.wait_for_call)
    await client.close()
    assert [RuntimeError] * 3 == [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)]
    assert {asyncio.current_task()} == asyncio.all_tasks()


@pytest.mark.parametrize("turns", range(8))
async def test_closed_at_any_moment(daemon, turns):
    """However far the event loop has got with the calls of a client that is closed, none of them is left waiting."""
    daemon.batch_released.clear()
    client = meterd.AsyncClient(daemon.address)
    tasks = [asyncio.create_task(client.check("alice")) for _ in range(3)]
    for _ in range(turns):
        await asyncio.sleep(0)
    await client.close()
    assert [RuntimeError] * 3 == [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)]


def test_an_interrupted_leader_strands_nobody(daemon, monkeypatch):
    """When Ctrl-C hits the thread that sends a batch, the others in it try again, and what waits behind goes on."""
    send = _calls.BATCH
    interrupts = [KeyboardInterrupt]

    def interrupted_once(stubs):
        if interrupts:
            raise interrupts.pop()
        return send(stubs)

    monkeypatch.setattr(_calls, "BATCH", interrupted_once)
    callers = Threads(daemon.address, retry=NO_PAUSE)
    with gathering(callers, daemon):
        futures = start_in_order(callers, cost("alice", timeout_seconds=20), cost("bob"), cost("carol"))
    leader, *others = (future.exception(30) for future in futures)
    assert (KeyboardInterrupt, [None, None]) == (type(leader), others)
    callers.end()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_its_parents_threads(daemon):
    """A client in use when its process forks starts anew in the child: the calls under way are the parent's."""
    callers = Threads(daemon.address)
    with gathering(callers, daemon) as held:
        connection = callers.client._connection
        with connection._lock:  # as if another thread were inside at the fork
            child = os.fork()
            if child == 0:
                os._exit(0 if _starts_anew(connection) else 1)
    _, status = os.waitpid(child, 0)
    assert [True, True] == [future.result().allowed for future in held]
    callers.end()
    assert 0 == os.waitstatus_to_exitcode(status)


def _starts_anew(connection):
    return connection._made is None and connection._lock.acquire(blocking=False)


def test_threads_are_all_there_is():
    """The blocking client has no thread of its own."""
    before = threading.active_count()
    client = meterd.Client()
    client.close()
    assert before == threading.active_count()
