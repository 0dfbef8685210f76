"""Messages of many operations or results, held as the bytes of each.

An operation is written once, as a whole: to put its message into a BatchRequest would copy it first. A result is read by itself: as
a part of a BatchResponse it would keep all the others in memory for as long as its caller keeps it. The daemon divides what it is
sent in the same way.
"""

from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from meterd.v1 import metering_pb2


def parts_class(number: int) -> Any:  # noqa: ANN401 -- made here, and known to no type checker
    """Return the class of messages with `parts`, a repeated field of this number: bytes, on the wire the same as messages."""
    file = FileDescriptorProto(name="parts.proto", package="meterd", syntax="proto3")
    file.message_type.add(name="Parts").field.add(
        name="parts", number=number, type=FieldDescriptorProto.TYPE_BYTES, label=FieldDescriptorProto.LABEL_REPEATED
    )
    pool = DescriptorPool()  # of its own: the name is nobody else's business
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("meterd.Parts"))


Operations = parts_class(metering_pb2.BatchRequest.OPERATIONS_FIELD_NUMBER)
"""On the wire a BatchRequest."""
Results = parts_class(metering_pb2.BatchResponse.RESULTS_FIELD_NUMBER)
"""On the wire a BatchResponse."""


def _tag_of(kind: str) -> bytes:
    result = metering_pb2.OperationResult()
    getattr(result, kind).SetInParent()
    return result.SerializeToString()[:-1]


RESULT_TAGS = {field.name: _tag_of(field.name) for field in metering_pb2.OperationResult.DESCRIPTOR.fields}
"""What the result of each kind begins with, before its length."""


def batch_rpc(channel: grpc.Channel | grpc.aio.Channel, serialize: Callable[[Any], bytes]) -> Callable[..., Any]:
    """Return what sends a request that `serialize` writes to Batch, for `Results`; to be awaited on an asyncio channel."""
    rpc: Callable[..., Any] = channel.unary_unary(
        "/meterd.v1.MeteringService/Batch", request_serializer=serialize, response_deserializer=Results.FromString
    )
    return rpc


def stream_rpc(channel: grpc.Channel | grpc.aio.Channel) -> Callable[..., Any]:
    """Return what opens a Stream of `Operations`, answered by `Results`."""
    rpc: Callable[..., Any] = channel.stream_stream(
        "/meterd.v1.MeteringService/Stream",
        request_serializer=Operations.SerializeToString,
        response_deserializer=Results.FromString,
    )
    return rpc
