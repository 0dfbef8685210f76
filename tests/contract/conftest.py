"""The contract as its source says it: descriptors with comments, built from protos/ by buf."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

ROOT = Path(__file__).parents[2]
BUF = Path(sys.executable).with_name("buf")


@pytest.fixture(scope="session")
def sources():
    """Return the FileDescriptorProto of each file of meterd.v1, with its comments."""
    built = subprocess.run(
        [BUF, "build", "protos", "--as-file-descriptor-set", "-o", "-#format=binpb"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    files = descriptor_pb2.FileDescriptorSet.FromString(built.stdout).file
    return [file for file in files if file.package == "meterd.v1"]
