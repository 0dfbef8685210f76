"""Rate cards and usage in short."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from meterd.v1 import account_pb2, pricing_pb2

MICROCENT = 10**6


def card(service="chat", model="", prices=None, *, effective=None, **fields):
    """Return a card; prices are picocents a unit."""
    effective_time = None if effective is None else moment(effective)
    return pricing_pb2.RateCard(
        service=service,
        model=model,
        prices_picocents={"input_tokens": 200 * MICROCENT, "output_tokens": 600 * MICROCENT}
        if prices is None
        else prices,
        effective_time=effective_time,
        **fields,
    )


def usage(service="chat", model="", **quantities):
    """Return the usage of so many units by meter."""
    return account_pb2.Usage(service=service, model=model, quantities=quantities)


def moment(year):
    """Return the beginning of a year."""
    timestamp = Timestamp()
    timestamp.FromDatetime(datetime(year, 1, 1, tzinfo=UTC))
    return timestamp
