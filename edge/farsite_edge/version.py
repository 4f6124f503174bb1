"""The version of this build."""

from importlib.metadata import version

__version__ = version("farsite")
