"""How commands on the same machine reach a running edge host: a socket only its owner can open."""
