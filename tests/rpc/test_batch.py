"""Many operations in one call: each as its own call would be, in order, and none spoils another."""

import asyncio

import grpc
import pytest

from meterd.v1 import metering_pb2
from meterd_server.errors import StoreUnavailable
from meterd_server.rpc.operations import OPERATIONS_MAX

from .house import TIMEOUT_SECONDS, refused
from .operations import brief, check, cost, fund, reason_of, reserve, strict_cost

Code = grpc.StatusCode


async def test_each_sees_what_came_before_it(house):
    """Operations are carried out in order: a Check between two costs sees the first and not the second."""
    operations = [fund("ada", 100), check("ada", 100), cost("ada", 60), check("ada", 100), cost("ada", 60)]
    answer = await house.batch(*operations, check("bob", 1), check("bob", 0))
    assert [100, True, 40, False, -20, False, True] == [brief(result) for result in answer.results]
    assert -20 == (await house.balance("ada")).balance_microcents


async def test_an_answer_is_what_its_own_call_would_get(house):
    """A result holds the very message that the unary call answers, entry, balance and all."""
    labelled = {"labels": {"model": "large"}, "service": "chat", "request_id": "r1"}
    batch = await house.batch(fund(request_id="f1"), cost(cost_microcents=7, **labelled), check())
    funded, recorded, checked = batch.results
    alone = await house.cost(cost_microcents=7, **labelled)
    assert (False, True) == (recorded.record_cost.replayed, alone.replayed)
    assert alone.entry.SerializeToString() == recorded.record_cost.entry.SerializeToString()
    assert alone.balance == recorded.record_cost.balance
    assert await house.check() == checked.check
    assert (await house.fund(request_id="f1")).entry == funded.record_funding.entry


async def test_one_bad_operation_does_not_spoil_its_neighbours(house):
    """What is malformed or refused gets its own status with its reason; all others are carried out."""
    answer = await house.batch(
        cost("", 1),
        fund("ada", 100),
        strict_cost("ada", 101),
        metering_pb2.Operation(),
        cost("ada", -1),
        cost("ada", 2 * 10**15),
        cost("ada", 30, request_id="again"),
        cost("ada", 31, request_id="again"),
        check("\n"),
        strict_cost("ada", 70),
    )
    expected = [
        "INVALID_ARGUMENT",
        100,
        "INSUFFICIENT_FUNDS",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "AMOUNT_OUT_OF_RANGE",
        70,
        "REQUEST_ID_REUSED",
        "INVALID_ARGUMENT",
        0,
    ]
    assert expected == [brief(result) for result in answer.results]
    assert Code.FAILED_PRECONDITION.value[0] == answer.results[2].status.code
    assert "operation" in answer.results[3].status.message


async def test_the_same_id_twice_in_one_batch_is_one_entry(house):
    """A batch may hold a retry of its own operation: it is a replay, as it would be later."""
    operation = cost("ada", 5, request_id="r1")
    first, second = [result.record_cost for result in (await house.batch(operation, operation)).results]
    assert (False, True, 1) == (first.replayed, second.replayed, second.balance.version)
    again = (await house.batch(operation)).results[0].record_cost
    assert (True, first.entry) == (again.replayed, again.entry)


async def test_an_empty_batch_has_an_empty_answer(house):
    """No operations is nothing to do, and no error; neither is a batch of which nothing can stand."""
    assert [] == list((await house.batch()).results)
    assert ["INVALID_ARGUMENT"] == [brief(result) for result in (await house.batch(cost("", 1))).results]


async def test_a_large_batch(open_house):
    """As many operations as are allowed are one call, more than one transaction's share, and come to the exact sum."""
    house = await open_house()
    operations = [cost(f"user-{number % 7}", number, request_id=f"r{number}") for number in range(1_500)]
    answer = await house.batch(*operations)
    assert [f"r{number}" for number in range(1_500)] == [
        result.record_cost.entry.request_id for result in answer.results
    ]
    for user in range(7):
        assert -sum(range(user, 1_500, 7)) == (await house.balance(f"user-{user}")).balance_microcents


async def test_too_many_operations(house, unchanged):
    """One more than allowed is refused as a whole, and nothing is done."""
    request = metering_pb2.BatchRequest(operations=[metering_pb2.Operation()] * (OPERATIONS_MAX + 1))
    refusal = await refused(house.metering.Batch(request, timeout=TIMEOUT_SECONDS))
    assert (Code.INVALID_ARGUMENT, ["operations"]) == (refusal.code, refusal.fields)


async def test_garbage_is_no_batch(house, unchanged):
    """Bytes that do not parse are INVALID_ARGUMENT, as for every other call."""
    assert Code.INVALID_ARGUMENT == (await refused(house.send("Batch", b"\x0a\xff"))).code


async def test_one_operation_that_is_no_message(house, unchanged):
    """An operation whose text is not UTF-8 is refused by its name with all that came with it, and nothing is done."""
    good = metering_pb2.BatchRequest(operations=[cost("ada", 1)]).SerializeToString()
    refusal = await refused(house.send("Batch", good + b"\x0a\x05\x12\x03\x0a\x01\xff" + good))
    assert (Code.INVALID_ARGUMENT, ["operations.record_cost.user_id"]) == (refusal.code, refusal.fields)


async def test_common_costs_among_others(house):
    """Answers stand in the order of the operations, whichever of them are costs as most are, repeated, or of a user with a hold."""
    again = cost("ada", 4, request_id="again")
    first = await house.batch(cost("ada", 1), fund("ada", 50), cost("ada", 2), again, cost("ada", 3, labels={"a": "b"}))
    second = await house.batch(
        again, cost("bob", 5), check("ada", 50), reserve("bob", 10), cost("bob", 6), cost("ada", 7)
    )
    assert [-1, 49, 47, 43, 40] == [brief(result) for result in first.results]
    assert [40, -5, False, "INSUFFICIENT_FUNDS", -11, 33] == [brief(result) for result in second.results]
    assert first.results[3].record_cost.entry == second.results[0].record_cost.entry
    assert [True, False] == [second.results[place].record_cost.replayed for place in (0, 4)]
    held = await house.batch(cost("ada", 1), reserve("ada", 20), cost("ada", 2), cost("bob", 1))
    assert [0, 20, 20, 0] == [
        getattr(result, result.WhichOneof("result")).balance.held_microcents for result in held.results
    ]


async def test_a_failing_store_fails_the_batch(house):
    """When the outcome is unknown the whole call says so, and the same batch again settles it."""
    operations = [cost("ada", 5, request_id="r1"), cost("bob", 6, request_id="r2")]
    house.store.error = StoreUnavailable("disk")
    assert "STORE_UNAVAILABLE" == (await refused(house.batch(*operations))).reason
    await house.until_serving()
    assert [-5, -6] == [brief(result) for result in (await house.batch(*operations)).results]


async def test_a_full_queue_sheds_the_batch(open_house):
    """A batch that comes to a full queue is OVERLOADED as a whole: nothing of it was begun."""
    house = await open_house(queued_max=1)
    house.store.commits_allowed.clear()
    under_way = [house.cost()]
    await house.store.commit_begun.wait()
    under_way.append(house.cost())
    await house.until_queued(1)
    assert "OVERLOADED" == (await refused(house.batch(cost("bob", 1), cost("bob", 2)))).reason
    house.store.commits_allowed.set()
    await asyncio.gather(*under_way)
    assert 0 == (await house.balance("bob")).version


@pytest.mark.parametrize("operation", [cost("ada", 1), check("ada")])
async def test_reason_and_code_agree(house, operation):
    """A status inside a result carries its reason as the status of a call does."""
    operation = metering_pb2.Operation.FromString(operation.SerializeToString())
    getattr(operation, operation.WhichOneof("operation")).user_id = ""
    status = (await house.batch(operation)).results[0].status
    assert (Code.INVALID_ARGUMENT.value[0], "INVALID_ARGUMENT") == (status.code, reason_of(status))
