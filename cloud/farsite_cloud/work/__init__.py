"""Work across the organization: campaigns, one order for each edge host, what became of each device."""
