"""The cloud: organizations, people, edge hosts and sessions, with the signaling hub mounted."""
