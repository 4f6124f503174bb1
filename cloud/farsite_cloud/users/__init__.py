"""Members of an organization: their roles and the folders they reach."""
