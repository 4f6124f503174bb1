"""All of an organization's data as one file."""
