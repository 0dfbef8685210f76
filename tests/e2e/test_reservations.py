"""Reservations and sessions on a real daemon: expiry, clients and daemons that are killed, many at once."""

import asyncio
import signal
import subprocess
import sys

import grpc
import pytest

from meterd.v1 import account_pb2, reservation_pb2

from .reserving import TIMEOUT_SECONDS, Caller, ask, holding_client

Kind = account_pb2.EntryKind

BOTH = pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["alone", "workers"])


@BOTH
def test_the_daemon_ends_what_is_due(run_daemon, db, options):
    """A reservation of a second is released by the daemon that runs, by an entry, and the log says so."""
    daemon = run_daemon(db=db, options=options)
    with Caller(daemon.address) as caller:
        caller.fund(100)
        caller.reserve(60, request_id="r", ttl={"seconds": 1})
        assert 40 == caller.balance().available_microcents
        caller.wait_until_nothing_is_held()
        last = caller.entries()[-1]
    assert (Kind.ENTRY_KIND_EXPIRY, "r", -60) == (last.kind, last.reservation.reservation_id, last.held_microcents)
    daemon.wait_for_log("1 reservations expired")
    assert 0 == daemon.stop()


def test_a_daemon_that_was_killed_in_between(run_daemon, db):
    """What was reserved before a SIGKILL expires after the restart, with its floor charged, once."""
    daemon = run_daemon(db=db)
    with Caller(daemon.address) as caller:
        caller.fund(100)
        caller.reserve(60, request_id="r", ttl={"seconds": 1}, on_expiry="ON_EXPIRY_CAPTURE_FLOOR", floor_microcents=25)
    daemon.signal(signal.SIGKILL)
    daemon.wait()
    daemon.start()
    with Caller(daemon.address) as caller:
        caller.wait_until_nothing_is_held()
        assert 75 == caller.balance().balance_microcents
        kinds = [entry.kind for entry in caller.entries()]
    assert [Kind.ENTRY_KIND_FUNDING, Kind.ENTRY_KIND_RESERVATION, Kind.ENTRY_KIND_EXPIRY] == kinds


@BOTH
@pytest.mark.parametrize(
    "session",
    [
        ("ON_EXPIRY_RELEASE", 30, 30),
        ("ON_EXPIRY_CAPTURE_FLOOR", 30, 200),
        ("ON_EXPIRY_CAPTURE_FLOOR", 230, 230),
    ],
)
def test_a_client_that_is_killed_inside_a_session(run_daemon, db, options, session):
    """It costs exactly what was reported, or the floor, as soon as the daemon sees that the client is gone."""
    on_expiry, reported, costs = session
    daemon = run_daemon(db=db, options=options)
    with Caller(daemon.address) as caller:
        caller.fund(1_000)
        client = holding_client(daemon, on_expiry, reported)
        with client:
            assert ["granted\n", "granted\n"] == [client.stdout.readline() for _ in range(2)]
            assert 500 == caller.balance().held_microcents
            client.kill()
        caller.wait_until_nothing_is_held()
        assert 1_000 - costs == caller.balance().balance_microcents
    assert 0 == daemon.stop()


def test_a_session_outlives_its_daemon(run_daemon, db):
    """When the daemon is killed, a caller goes on with its session on the next one; nothing is charged twice."""
    daemon = run_daemon(db=db)
    opening = reservation_pb2.MeterOpen(user_id="ada", request_id="s", slice_microcents=500)
    report = reservation_pb2.MeterReport(cost_microcents=30, request_id="first")

    def talk(caller, *messages):
        answers = caller.metering.Meter(
            iter([reservation_pb2.MeterRequest(**message) for message in messages]), timeout=TIMEOUT_SECONDS
        )
        return answers, [next(answers) for _ in messages]

    with Caller(daemon.address) as caller:
        caller.fund(1_000)
        hold = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        with hold:

            def messages():
                yield reservation_pb2.MeterRequest(open=opening)
                yield reservation_pb2.MeterRequest(report=report)
                hold.wait()

            answers = caller.metering.Meter(messages(), timeout=TIMEOUT_SECONDS)
            assert ["granted"] * 2 == [next(answers).WhichOneof("message") for _ in range(2)]
            daemon.signal(signal.SIGKILL)
            daemon.wait()
            hold.communicate(b"\n")
    daemon.start()
    with Caller(daemon.address) as caller:
        _, (granted, again, closed) = talk(caller, {"open": opening}, {"report": report}, {"close": {}})
        assert (500, 30) == (granted.granted.granted_microcents, granted.granted.reservation.captured_microcents)
        assert 970 == again.granted.balance.balance_microcents
        assert (970, 0) == (closed.closed.balance.balance_microcents, closed.closed.balance.held_microcents)


@BOTH
def test_two_hundred_reserve_money_for_fifty(run_daemon, db, options):
    """200 clients ask at once for what is there for 50; the daemon is killed in the midst: 50 have it, and the sums hold."""
    daemon = run_daemon(db=db, options=options)
    with Caller(daemon.address) as caller:
        caller.fund(50 * 7)

    async def ask_and_kill():
        answered = asyncio.Event()
        calls = [asyncio.ensure_future(ask(daemon.address, number, answered)) for number in range(200)]
        await answered.wait()
        daemon.signal(signal.SIGKILL)
        return await asyncio.gather(*calls)

    first = asyncio.run(ask_and_kill())
    daemon.wait()
    daemon.start()

    async def ask_again():
        return await asyncio.gather(*(ask(daemon.address, number, asyncio.Event()) for number in range(200)))

    second = asyncio.run(ask_again())
    assert {grpc.StatusCode.OK, grpc.StatusCode.FAILED_PRECONDITION} == set(second)
    assert 50 == second.count(grpc.StatusCode.OK)
    # Who was told that it has its money, has it.
    assert [] == [
        number for number in range(200) if first[number] == grpc.StatusCode.OK and second[number] != first[number]
    ]
    with Caller(daemon.address) as caller:
        balance, entries = caller.balance(), caller.entries()
    assert (350, 350, 0) == (balance.balance_microcents, balance.held_microcents, balance.available_microcents)
    assert list(range(1, 52)) == [entry.version for entry in entries]
    assert 350 == sum(entry.held_microcents for entry in entries)
