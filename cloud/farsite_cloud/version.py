"""This release."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("farsite")
except PackageNotFoundError:  # a source tree that was never installed
    VERSION = "0+unknown"
