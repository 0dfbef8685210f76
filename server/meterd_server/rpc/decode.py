"""Bytes to request messages, without the parser's traceback reaching anyone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from meterd_server.rpc.status import Violation

if TYPE_CHECKING:
    from collections.abc import Callable


MessageT = TypeVar("MessageT", bound=Message)

_LENGTH_DELIMITED = 2


class Undecodable(NamedTuple):
    """Stands in for a message that does not parse; the handler answers INVALID_ARGUMENT with its violation."""

    violation: Violation


def decoder(message_class: type[MessageT]) -> Callable[[bytes], MessageT | Undecodable]:
    """A deserializer that never raises: gRPC would send the exception's text to the caller as UNKNOWN."""
    parse = message_class.FromString

    def decode(raw: bytes) -> MessageT | Undecodable:
        try:
            return parse(raw)
        except DecodeError:
            field = _field_not_utf8(cast(Descriptor, message_class.DESCRIPTOR), raw)
            if field:
                return Undecodable(Violation(field, "is not valid UTF-8"))
            return Undecodable(Violation("", f"the bytes are not a {message_class.DESCRIPTOR.full_name}"))

    return decode


def _field_not_utf8(descriptor: Descriptor, raw: bytes) -> str:
    """The path of the first string field whose bytes are not UTF-8, or "" if that is not what is wrong with the message."""
    try:
        fields = UnknownFieldSet(Empty.FromString(raw))
    except DecodeError:
        return ""
    for unknown in cast(Iterable[Any], fields):  # its stubs lack __iter__
        field = descriptor.fields_by_number.get(unknown.field_number)
        if field is None or unknown.wire_type != _LENGTH_DELIMITED:
            continue
        if field.type == FieldDescriptor.TYPE_STRING:
            try:
                unknown.data.decode()
            except UnicodeDecodeError:
                return field.name
        elif field.message_type and (inner := _field_not_utf8(field.message_type, unknown.data)):
            return f"{field.name}.{inner}"
    return ""
