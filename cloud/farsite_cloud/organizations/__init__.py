"""Organizations: members with roles, keys, certificates."""
