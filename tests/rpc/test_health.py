"""The standard health service and reflection: what load balancers, orchestrators and gRPC tools ask."""

import asyncio

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from meterd_server.errors import StoreUnavailable
from meterd_server.rpc.standard import Health

from .house import ADMIN, LEDGER, METERING, TIMEOUT_SECONDS, refused

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
WATCH_SECONDS = TIMEOUT_SECONDS / 2
"""A Watch that does not end is to be noticed before the test is given up."""
SERVICES = ["", METERING, LEDGER, ADMIN]


def _check(house, service):
    return house.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_SECONDS)


class Watchers:
    """A Watch call for each service."""

    def __init__(self, house):
        self._calls = [
            house.health.Watch(health_pb2.HealthCheckRequest(service=service), timeout=WATCH_SECONDS)
            for service in SERVICES
        ]

    async def read(self):
        """Wait for the next state of every service."""
        return [(await call.read()).status for call in self._calls]

    async def codes(self):
        """Wait until every call has ended; how."""
        return [await call.code() for call in self._calls]

    def hang_up(self):
        for call in self._calls:
            call.cancel()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_server_that_answers_is_serving(house, service):
    """From the moment it listens, the server as a whole and each service are SERVING."""
    assert SERVING == (await _check(house, service)).status


async def test_a_service_that_is_not_there(house):
    """Health of an unknown service is NOT_FOUND."""
    assert grpc.StatusCode.NOT_FOUND == (await refused(_check(house, "meterd.v1.Nothing"))).code


async def test_a_store_that_fails_is_told(house):
    """NOT_SERVING from the store's failure until it is back, while calls get a status; then all is as before."""
    watchers = Watchers(house)
    assert [SERVING] * len(SERVICES) == await watchers.read()
    house.store.may_reopen = False
    house.store.error = StoreUnavailable("broken")
    assert "STORE_UNAVAILABLE" == (await refused(house.cost())).reason
    assert [NOT_SERVING] * len(SERVICES) == await watchers.read()
    assert [NOT_SERVING] * len(SERVICES) == [(await _check(house, service)).status for service in SERVICES]
    for call in (house.cost(), house.fund(), house.check(), house.list(), house.balance()):
        assert "STORE_UNAVAILABLE" == (await refused(call)).reason
    house.store.may_reopen = True
    assert [SERVING] * len(SERVICES) == await watchers.read()
    assert 1 == (await house.fund()).entry.version
    watchers.hang_up()


@pytest.mark.parametrize("read", ["check", "list", "balance"])
async def test_a_store_that_fails_while_nothing_is_written(house, read):
    """Reads alone make it known when the store has failed beside its commits: NOT_SERVING, and then they are answered again."""
    await house.fund()
    watchers = Watchers(house)
    assert [SERVING] * len(SERVICES) == await watchers.read()
    house.store._writer = None  # as after copying the write-ahead log failed
    assert "STORE_UNAVAILABLE" == (await refused(getattr(house, read)())).reason
    assert [NOT_SERVING] * len(SERVICES) == await watchers.read()
    assert [SERVING] * len(SERVICES) == await watchers.read()
    await getattr(house, read)()
    watchers.hang_up()


async def test_a_server_that_drains_is_told(house):
    """On stopping it is NOT_SERVING at once, refuses new calls, and answers the one under way."""
    watchers = Watchers(house)
    assert [SERVING] * len(SERVICES) == await watchers.read()
    house.store.commits_allowed.clear()
    under_way = asyncio.ensure_future(house.cost())
    await house.store.commit_begun.wait()
    stopping = asyncio.ensure_future(house.server.stop(TIMEOUT_SECONDS))
    assert [NOT_SERVING] * len(SERVICES) == await watchers.read()
    assert [grpc.StatusCode.UNAVAILABLE] * len(SERVICES) == await watchers.codes()
    assert grpc.StatusCode.UNAVAILABLE == (await refused(house.cost())).code
    assert not stopping.done()
    house.store.commits_allowed.set()
    assert 1 == (await under_way).entry.version
    await stopping


async def test_a_list_of_every_service(house):
    """List says how each service is, and the server as a whole."""
    statuses = (await house.health.List(health_pb2.HealthListRequest(), timeout=TIMEOUT_SECONDS)).statuses
    assert {SERVING} == {each.status for each in statuses.values()}
    assert {*SERVICES, "meterd.v1.PricingService"} == statuses.keys()


async def test_a_watch_of_a_service_that_is_not_there(house):
    """It is told so, and told again when the service is there."""
    watch = house.health.Watch(health_pb2.HealthCheckRequest(service="meterd.v1.drift"), timeout=TIMEOUT_SECONDS)
    assert health_pb2.HealthCheckResponse.SERVICE_UNKNOWN == (await watch.read()).status
    await house.server.set_drift(False)
    assert SERVING == (await watch.read()).status
    watch.cancel()


async def test_after_leaving(house):
    """Who asks a server that has left is told NOT_SERVING, whatever is said of it; who begins to watch, that and no more."""
    await house.server.leave()
    await house.server.set_serving(True)
    assert NOT_SERVING == (await _check(house, "")).status
    watchers = Watchers(house)
    assert [NOT_SERVING] * len(SERVICES) == await watchers.read()
    assert [grpc.StatusCode.UNAVAILABLE] * len(SERVICES) == await watchers.codes()


class _LeavesMeanwhile:
    """A call's context: the server leaves while the first state is being written."""

    def __init__(self, health):
        self._health = health
        self.written = []

    async def write(self, answer):
        self.written.append(answer.status)
        if len(self.written) == 1:
            self._health.leave()


async def test_leaving_while_a_state_is_being_told():
    """A watcher whose SERVING is not written out yet when the server leaves is told NOT_SERVING all the same."""
    health = Health()
    health.set("", True)
    context = _LeavesMeanwhile(health)
    with pytest.raises(StoreUnavailable):
        await health.Watch(health_pb2.HealthCheckRequest(), context)
    assert [SERVING, NOT_SERVING] == context.written


@pytest.mark.parametrize("method", ["Health/Check", "Health/List", "Health/Watch", "reflection"])
async def test_bytes_that_are_no_message(house, method, capfd):
    """Health and reflection tell no more of their parser than meterd's own methods do, nobody and no log."""
    raw = b"\x0a\xff\xff"
    if method == "reflection":
        path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        call = house.channel.stream_stream(path)(iter([raw]), timeout=TIMEOUT_SECONDS)
    elif method == "Health/Watch":
        call = house.channel.unary_stream(f"/grpc.health.v1.{method}")(raw, timeout=TIMEOUT_SECONDS)
    else:
        call = house.send(f"grpc.health.v1.{method}", raw)
    assert grpc.StatusCode.INVALID_ARGUMENT == await call.code()
    assert "the bytes are not a grpc." in await call.details()
    assert ("", "") == capfd.readouterr()


async def _reflect(house, **question):
    stub = reflection_pb2_grpc.ServerReflectionStub(house.channel)
    call = stub.ServerReflectionInfo(timeout=TIMEOUT_SECONDS)
    await call.write(reflection_pb2.ServerReflectionRequest(**question))
    await call.done_writing()
    return await call.read()


async def test_reflection_lists_every_service(house):
    """A gRPC tool without the proto files finds our services, health and reflection itself."""
    answer = await _reflect(house, list_services="")
    assert {
        METERING,
        LEDGER,
        "meterd.v1.PricingService",
        ADMIN,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    } == {service.name for service in answer.list_services_response.service}


@pytest.mark.parametrize("service", [METERING, LEDGER])
async def test_reflection_describes_our_services(house, service):
    """The file of a service comes with all that it needs, down to its methods' messages."""
    answer = await _reflect(house, file_containing_symbol=service)
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(raw)
        for raw in answer.file_descriptor_response.file_descriptor_proto
    ]
    (methods,) = (
        [m.name for m in each.method] for file in files for each in file.service if service.endswith(each.name)
    )
    assert methods
