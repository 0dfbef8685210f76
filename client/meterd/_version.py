"""The version of the installed distribution, read once."""

from importlib import metadata

try:
    __version__ = metadata.version("meterd")
except metadata.PackageNotFoundError:  # imported from a source tree that was never installed
    __version__ = "0+unknown"
