"""The cloud: organizations, people, edge hosts and sessions, with the signaling hub mounted."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("farsite")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
