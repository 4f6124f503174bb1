"""One-time setup codes."""
