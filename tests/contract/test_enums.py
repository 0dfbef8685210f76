"""The names and numbers that are written down in more than one place are the same in all of them."""

import grpc
import pytest

import meterd
from meterd import _status
from meterd.v1 import account_pb2, errors_pb2, metering_pb2
from meterd_server.errors import Reason
from meterd_server.model import EntryKind
from meterd_server.rpc.status import CODES, make_status


def _values(enum, prefix):
    return {name.removeprefix(prefix): number for name, number in enum.items()}


def test_reasons_are_the_same_everywhere():
    """The proto's ErrorReason, the server's Reason, its status table and the client's table name the same reasons."""
    proto = _values(errors_pb2.ErrorReason, "ERROR_REASON_").keys() - {"UNSPECIFIED"}
    tables = {
        "Reason": {reason.value for reason in Reason},
        "server table": {reason.value for reason in CODES},
        "client table": set(_status.BY_REASON),
    }
    assert dict.fromkeys(tables, proto) == tables


def test_a_reason_is_named_as_its_value():
    """What goes over the wire is the name that the code uses."""
    assert [reason.name for reason in Reason] == [reason.value for reason in Reason]


@pytest.mark.parametrize("reason", Reason)
def test_the_server_and_the_client_agree_on_codes(reason):
    """The code that the server sends for a reason is the one that the client's exception class stands for."""
    assert _status.BY_REASON[reason.value].code == CODES[reason]


@pytest.mark.parametrize("reason", Reason)
def test_a_status_can_be_made_for_every_reason(reason):
    """Every reason becomes a status with an error code, never OK or UNKNOWN."""
    assert make_status(reason, "why").code == CODES[reason].value[0]
    assert CODES[reason] not in {grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN}


@pytest.mark.parametrize("reason", Reason)
def test_the_comment_of_a_reason_names_its_code(reason, sources):
    """The documentation of a reason begins with the status code that it comes with."""
    (file,) = (file for file in sources if file.name.endswith("errors.proto"))
    number = errors_pb2.ErrorReason.Value(f"ERROR_REASON_{reason.value}")
    comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
    index = [value.number for value in file.enum_type[0].value].index(number)
    assert comments[5, 0, 2, index].strip().startswith(CODES[reason].name)


def test_entry_kinds_are_the_same_everywhere():
    """The model's numbers, which are stored, are the contract's; the client knows every name."""
    proto = _values(account_pb2.EntryKind, "ENTRY_KIND_")
    assert 0 == proto.pop("UNSPECIFIED")
    assert proto == {kind.name: kind.value for kind in EntryKind}
    assert proto.keys() | {"UNKNOWN"} == {kind.name for kind in meterd.EntryKind}


def test_enum_zeros_mean_nothing():
    """A value that was never set cannot be mistaken for one that was."""
    for enum in (errors_pb2.ErrorReason, account_pb2.EntryKind, metering_pb2.OverdraftPolicy):
        assert enum.Name(0).endswith("_UNSPECIFIED")
