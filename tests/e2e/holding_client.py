"""A client that opens a metered session, reports once, says so on stdout and then waits to be killed."""

import sys

import grpc

from meterd.v1 import metering_pb2_grpc, reservation_pb2


def main(address, user_id, on_expiry, reported_microcents, ttl_seconds):
    """Hold a session until the end of this process."""

    def messages():
        yield reservation_pb2.MeterRequest(
            open=reservation_pb2.MeterOpen(
                user_id=user_id,
                slice_microcents=500,
                on_expiry=on_expiry,
                floor_microcents=200,
                ttl={"seconds": int(ttl_seconds)},
            )
        )
        yield reservation_pb2.MeterRequest(report=reservation_pb2.MeterReport(cost_microcents=int(reported_microcents)))
        sys.stdin.read()

    with grpc.insecure_channel(address) as channel:
        answers = metering_pb2_grpc.MeteringServiceStub(channel).Meter(messages())
        for answer in answers:
            sys.stdout.write(f"{answer.WhichOneof('message')}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
