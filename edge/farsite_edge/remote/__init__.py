"""Remote access: the connection to the hub, tunnels, and what their streams may reach."""
