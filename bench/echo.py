"""The yardstick: a grpc.aio server that parses its requests and answers empty messages, and does nothing else."""

from __future__ import annotations

import asyncio
import signal

import grpc

from meterd.v1 import metering_pb2, metering_pb2_grpc


class Echo(metering_pb2_grpc.MeteringServiceServicer):
    """What an empty gRPC server in Python costs."""

    async def RecordCost(  # noqa: N802
        self, _request: metering_pb2.RecordCostRequest, _context: grpc.aio.ServicerContext
    ) -> metering_pb2.RecordCostResponse:
        """Nothing."""
        return metering_pb2.RecordCostResponse()

    async def Check(  # noqa: N802
        self, _request: metering_pb2.CheckRequest, _context: grpc.aio.ServicerContext
    ) -> metering_pb2.CheckResponse:
        """Nothing."""
        return metering_pb2.CheckResponse()


async def main() -> None:
    """Serve on a free port, named on stdout, until SIGTERM."""
    server = grpc.aio.server()
    metering_pb2_grpc.add_MeteringServiceServicer_to_server(Echo(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"echo listening on 127.0.0.1:{port}", flush=True)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main())
