"""The `farsite` command: starts fast, imports a command's code only when it is called."""

from farsite_client.cli.main import main

__all__ = ["main"]
