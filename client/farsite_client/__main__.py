"""`python -m farsite_client` is the `farsite` command."""

from farsite_client.cli import main

main()
