"""Messages of many operations or results, held as the bytes of each.

An operation is written once, as a whole: to put its message into a BatchRequest would copy it first. A result is read by itself: as
a part of a BatchResponse it would keep all the others in memory for as long as its caller keeps it. The daemon divides what it is
sent in the same way.
"""

from typing import Any

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
