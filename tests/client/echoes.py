"""What the scripted daemon answers by itself: each request said back, as if it had been carried out."""

from meterd.v1 import account_pb2, metering_pb2, reservation_pb2

TTL_SECONDS = 300
NOW_SECONDS = 1_767_225_600


def _check(_):
    return metering_pb2.CheckResponse(allowed=True)


def _cost(request):
    entry = account_pb2.Entry(
        user_id=request.user_id,
        kind=account_pb2.ENTRY_KIND_COST,
        amount_microcents=-request.cost_microcents,
        request_id=request.request_id,
        service=request.service,
        labels=request.labels,
        occur_time=request.occur_time if request.HasField("occur_time") else None,
    )
    return metering_pb2.RecordCostResponse(entry=entry)


def _funding(request):
    entry = account_pb2.Entry(kind=account_pb2.ENTRY_KIND_FUNDING, request_id=request.request_id)
    return metering_pb2.RecordFundingResponse(entry=entry)


def _answer(kind, response, request, version, reservation, **more):
    entry = account_pb2.Entry(
        user_id=request.user_id,
        version=version,
        kind=account_pb2.EntryKind.Value(f"ENTRY_KIND_{kind}"),
        request_id=request.request_id,
        service=reservation.service,
        reservation=reservation,
        record_time={"seconds": NOW_SECONDS},
        **more,
    )
    return response(entry=entry, reservation=reservation)


def reservation(reservation_id, state="OPEN", held=0, ttl_seconds=TTL_SECONDS, **more):
    """Return the message of a reservation made at NOW_SECONDS."""
    return account_pb2.Reservation(
        reservation_id=reservation_id,
        state=account_pb2.ReservationState.Value(f"RESERVATION_STATE_{state}"),
        held_microcents=held,
        expire_time={"seconds": NOW_SECONDS + ttl_seconds},
        **more,
    )


def _reserve(request):
    about = reservation(
        request.request_id,
        held=request.amount_microcents,
        ttl_seconds=request.ttl.seconds or TTL_SECONDS,
        amount_microcents=request.amount_microcents,
        service=request.service or request.usage.service,
    )
    used = request.usage if request.WhichOneof("reserved") == "usage" else None
    return _answer("RESERVATION", reservation_pb2.ReserveResponse, request, 1, about, usage=used)


def _capture(request):
    final = request.final or not request.HasField("final")
    about = reservation(request.reservation_id, "CAPTURED" if final else "OPEN")
    amount = -request.cost_microcents
    return _answer("CAPTURE", reservation_pb2.CaptureResponse, request, 3, about, amount_microcents=amount)


def _release(request):
    return _answer(
        "RELEASE", reservation_pb2.ReleaseResponse, request, 4, reservation(request.reservation_id, "RELEASED")
    )


def _extend(request):
    about = reservation(request.reservation_id, held=request.add_microcents)
    return _answer("EXTENSION", reservation_pb2.ExtendResponse, request, 2, about)


ECHO = {
    "check": _check,
    "record_cost": _cost,
    "record_funding": _funding,
    "reserve": _reserve,
    "capture": _capture,
    "release": _release,
    "extend": _extend,
}
"""The answer to each operation, by its field."""


def echo_meter(request):
    """Grant what was asked for, 1,000 after a report, and close when told to."""
    match request.WhichOneof("message"):
        case "open":
            granted = reservation_pb2.MeterGranted(granted_microcents=request.open.slice_microcents)
        case "report":
            granted = reservation_pb2.MeterGranted(granted_microcents=1_000)
        case _:
            return reservation_pb2.MeterResponse(closed=reservation_pb2.MeterClosed())
    return reservation_pb2.MeterResponse(granted=granted)
