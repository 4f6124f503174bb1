"""Mail: written into the database first, then sent, or kept for the operator to read."""
