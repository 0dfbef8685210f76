"""Bytes to request messages, without the parser's traceback reaching anyone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from meterd._parts import parts_class
from meterd_server.rpc.status import Violation

if TYPE_CHECKING:
    from collections.abc import Callable


MessageT = TypeVar("MessageT", bound=Message)

_LENGTH_DELIMITED = 2
_SIZE_IN_A_BYTE_MAX = 127


class Undecodable(NamedTuple):
    """Stands in for a message that does not parse; the handler answers INVALID_ARGUMENT with its violation."""

    violation: Violation


class Operations:
    """A message of many operations: the bytes of each, and all of it as a message, made only if somebody asks for it."""

    def __init__(self, raw: bytes, operations: Sequence[bytes], parse: Callable[[bytes], Any]) -> None:
        self.operations = operations
        self._raw = raw
        self._parse = parse

    def parts(self, size: int) -> Iterator[tuple[range, str]]:
        """Every so many operations: their places, and they as they came, a character a byte.

        The text is empty where something else is in the message, or the sizes are written in an unusual way.
        """
        sizes = [*map(len, self.operations)]
        places = range(len(sizes))
        parts = [places[first : first + size] for first in places[::size]]
        bounds = [*accumulate((_size(sizes[part.start : part.stop]) for part in parts), initial=0)]
        # Then there is nothing else in the message, and every length is written as protobuf does.
        is_only_operations = bounds[-1] == len(self._raw)
        for part, (begin, end) in zip(parts, pairwise(bounds), strict=True):
            yield part, str(self._raw[begin:end], "latin-1") if is_only_operations else ""

    @cached_property
    def message(self) -> Any:  # noqa: ANN401 -- a BatchRequest or a StreamRequest, or Undecodable
        """The message with its operations in the same order; `Undecodable` if there is something wrong in one of them."""
        return self._parse(self._raw)


def _size(sizes: list[int]) -> int:
    """What operations of these sizes take in a message, where none is beyond two bytes' length: longer ones count as if."""
    return sum(sizes) + 2 * len(sizes) + sum([size > _SIZE_IN_A_BYTE_MAX for size in sizes])


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
            return _not_a(message_class)

    return decode


def operations_decoder(message_class: type[Message]) -> Callable[[bytes], Operations | Undecodable]:
    """A deserializer of messages with `operations` that only divides them: most are read without making messages of them."""
    divide = parts_class(message_class.DESCRIPTOR.fields_by_name["operations"].number).FromString
    parse = decoder(message_class)

    def decode(raw: bytes) -> Operations | Undecodable:
        try:
            return Operations(raw, divide(raw).parts, parse)
        except DecodeError:
            return _not_a(message_class)

    return decode


def _not_a(message_class: type[Message]) -> Undecodable:
    return Undecodable(Violation("", f"the bytes are not a {message_class.DESCRIPTOR.full_name}"))


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
