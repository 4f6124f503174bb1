"""The edge host's HTTP API: one application, served on the LAN, through tunnels and to the local administrator."""
