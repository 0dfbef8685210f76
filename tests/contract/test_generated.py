"""The generated code is there for all of the contract, and is what the sources say today."""

import importlib
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2

import meterd.v1

MODULES = sorted(path.stem for path in Path(next(iter(meterd.v1.__path__))).glob("*_pb2*.py"))


def _module(name):
    return importlib.import_module(f"meterd.v1.{name}")


def _module_name(file):
    return Path(file.name).stem + "_pb2"


@pytest.mark.parametrize("name", MODULES)
def test_generated_code_can_be_imported(name):
    """Each generated module loads on the protobuf and gRPC that are installed, without a warning."""
    assert f"meterd.v1.{name}" == _module(name).__name__


def test_generated_code_is_what_the_sources_say(sources):
    """The committed modules hold exactly the descriptors of protos/: nobody forgot to generate."""
    for file in sources:
        generated = descriptor_pb2.FileDescriptorProto()
        _module(_module_name(file)).DESCRIPTOR.CopyToProto(generated)
        expected = descriptor_pb2.FileDescriptorProto()
        expected.CopyFrom(file)
        expected.ClearField("source_code_info")
        for each in (expected, generated):
            _drop_json_names(each.message_type)
        assert expected == generated


def _drop_json_names(messages):
    """Forget what one compiler writes down and the other leaves to be derived."""
    for message in messages:
        for field in message.field:
            field.ClearField("json_name")
        _drop_json_names(message.nested_type)


def test_every_service_has_stub_servicer_and_registration(sources):
    """For each service a client stub with every rpc, a servicer to override and the function that registers it."""
    services = [(file, service) for file in sources for service in file.service]
    assert {"MeteringService", "LedgerService"} <= {service.name for _, service in services}
    for file, service in services:
        module = _module(_module_name(file) + "_grpc")
        methods = {method.name for method in service.method}
        with grpc.insecure_channel("127.0.0.1:1") as channel:
            assert methods == vars(getattr(module, f"{service.name}Stub")(channel)).keys()
        assert methods <= vars(getattr(module, f"{service.name}Servicer")).keys()
        assert callable(getattr(module, f"add_{service.name}Servicer_to_server"))


def test_every_generated_module_has_its_types():
    """Beside each generated module stand the types that a checker reads."""
    folder = Path(next(iter(meterd.v1.__path__)))
    assert MODULES == sorted(path.stem for path in folder.glob("*_pb2*.pyi"))
