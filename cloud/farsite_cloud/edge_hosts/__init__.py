"""Edge hosts."""
