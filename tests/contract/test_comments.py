from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)

_MEMBERS = {
    FileDescriptorProto: {"message_type": 4, "enum_type": 5, "service": 6},
    DescriptorProto: {"field": 2, "nested_type": 3, "enum_type": 4, "oneof_decl": 8},
    EnumDescriptorProto: {"value": 2},
    ServiceDescriptorProto: {"method": 2},
}
"""Which elements a kind of descriptor holds, by the field numbers that a SourceCodeInfo path is made of."""


def _elements(holder, path=()):
    """Yield (path, name, element) for everything that a person wrote inside `holder`."""
    for member, number in _MEMBERS.get(type(holder), {}).items():
        for index, element in enumerate(getattr(holder, member)):
            if _is_written(holder, member, index):
                here = (*path, number, index)
                yield here, element.name, element
                yield from ((deep, f"{element.name}.{name}", each) for deep, name, each in _elements(element, here))


def _is_written(holder, member, index):
    """Tell what stands in the file from what protobuf makes: map entries, and the oneof behind an `optional`."""
    if member == "nested_type":
        return not holder.nested_type[index].options.map_entry
    if member == "oneof_decl":
        return not any(field.proto3_optional and field.oneof_index == index for field in holder.field)
    return True


def _comments(file):
    return {tuple(place.path): place.leading_comments.strip() for place in file.source_code_info.location}


def test_everything_is_commented(sources):
    """Every service, rpc, message, field, oneof, enum and enum value says what it is."""
    missing = [
        f"{file.name}: {name}" for file in sources for path, name, _ in _elements(file) if not _comments(file).get(path)
    ]
    assert [] == missing


def test_the_check_sees_every_element(sources):
    """Nothing escapes the test above: rpcs, fields, oneofs and enum values are all visited."""
    names = {name for file in sources for _, name, _ in _elements(file)}
    assert {
        "MeteringService.RecordCost",
        "RecordFundingRequest.funding",
        "RecordFundingRequest.update",
        "CheckRequest.minimum_microcents",
        "ErrorReason.ERROR_REASON_INTERNAL",
        "Balance.version",
    } <= names
    assert "CheckRequest._minimum_microcents" not in names


def test_a_comment_is_a_sentence(sources):
    """A comment is prose, not a word: it has at least two words and ends as a sentence does."""
    poor = [
        f"{name}: {comment}"
        for file in sources
        for path, name, _ in _elements(file)
        if (comment := _comments(file).get(path, "")) and (len(comment.split()) < 2 or comment[-1] != ".")
    ]
    assert [] == poor


def test_a_number_says_its_unit(sources):
    """An int64 is an amount, a price or a number of units, and its name ends so, or a version; and nothing is a float."""
    fields = [
        (name, element.type)
        for file in sources
        for _, name, element in _elements(file)
        if isinstance(element, FieldDescriptorProto)
    ]
    assert fields
    int64 = {name for name, kind in fields if kind == FieldDescriptorProto.TYPE_INT64}
    units = ("_microcents", "_picocents", "_units")
    assert [] == [name for name in int64 if not name.endswith((*units, "version"))]
    floats = (FieldDescriptorProto.TYPE_FLOAT, FieldDescriptorProto.TYPE_DOUBLE)
    assert [] == [name for name, kind in fields if kind in floats]
