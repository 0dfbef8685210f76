"""Clients that reserve and hold sessions, for the tests of daemons that are killed meanwhile."""

import subprocess
import sys
from pathlib import Path

import grpc

from meterd.v1 import ledger_pb2, ledger_pb2_grpc, metering_pb2, metering_pb2_grpc, reservation_pb2

from .process import environment, wait_until

TIMEOUT_SECONDS = 20


class Caller:
    """A channel to a daemon, with calls in short."""

    def __init__(self, address):
        self._channel = grpc.insecure_channel(address)
        self.metering = metering_pb2_grpc.MeteringServiceStub(self._channel)
        self.reads = ledger_pb2_grpc.LedgerServiceStub(self._channel)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._channel.close()

    def fund(self, amount_microcents, user_id="ada"):
        """Fund, once."""
        self.metering.RecordFunding(
            metering_pb2.RecordFundingRequest(user_id=user_id, request_id="f", amount_microcents=amount_microcents),
            timeout=TIMEOUT_SECONDS,
        )

    def balance(self, user_id="ada"):
        """The account as it is now."""
        request = ledger_pb2.GetBalanceRequest(user_id=user_id)
        return self.reads.GetBalance(request, timeout=TIMEOUT_SECONDS).balance

    def entries(self, user_id="ada"):
        """Every entry, oldest first."""
        request = ledger_pb2.ListEntriesRequest(user_id=user_id, page_size=1_000, order_by="version")
        return self.reads.ListEntries(request, timeout=TIMEOUT_SECONDS).entries

    def reserve(self, amount_microcents, **more):
        """Set money of ada's aside."""
        fields = {"user_id": "ada", "amount_microcents": amount_microcents} | more
        return self.metering.Reserve(reservation_pb2.ReserveRequest(**fields), timeout=TIMEOUT_SECONDS)

    def wait_until_nothing_is_held(self):
        """Wait until ada's reservations are over."""
        wait_until(lambda: not self.balance().held_microcents, "nothing held")


async def ask(address, number, answered):
    """Reserve 7 under an id of its own until there is an answer; what it was, an answer or a reason."""
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        request = reservation_pb2.ReserveRequest(
            user_id="ada", request_id=f"r{number}", amount_microcents=7, ttl={"seconds": 600}
        )
        try:
            await metering_pb2_grpc.MeteringServiceStub(channel).Reserve(request, timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError as error:
            return error.code()
        answered.set()
        return grpc.StatusCode.OK


def holding_client(daemon, on_expiry, reported_microcents, *, ttl_seconds=60):
    """Start a process that has a session of ada's open with 500 microcents, and has reported so much."""
    program = Path(__file__).with_name("holding_client.py")
    said = (daemon.address, "ada", on_expiry, str(reported_microcents), str(ttl_seconds))
    return subprocess.Popen(
        [sys.executable, program, *said],
        env=environment(daemon.folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
