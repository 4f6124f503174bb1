"""The edge host's side of the local network: HTTP 37080 and UDP 6801 for being found, HTTPS 37443 for the API."""
