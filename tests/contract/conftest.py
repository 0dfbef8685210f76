"""The contract as its source says it: descriptors with comments, built from protos/ by buf."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.rpc import status_pb2

ROOT = Path(__file__).parents[2]
BUF = Path(sys.executable).with_name("buf")


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """Return the FileDescriptorProto of each file of meterd.v1, with its comments."""
    folder = tmp_path_factory.mktemp("protos")
    shutil.copytree(ROOT / "protos", folder, dirs_exist_ok=True)
    # What the contract imports from others, as the package that the generated code loads has it.
    imported = folder / "google" / "rpc"
    imported.mkdir(parents=True)
    shutil.copy(Path(status_pb2.__file__).with_name("status.proto"), imported)
    built = subprocess.run(
        [BUF, "build", ".", "--as-file-descriptor-set", "-o", "-#format=binpb"],
        cwd=folder,
        capture_output=True,
        check=True,
        timeout=60,
    )
    files = descriptor_pb2.FileDescriptorSet.FromString(built.stdout).file
    return [file for file in files if file.package == "meterd.v1"]
