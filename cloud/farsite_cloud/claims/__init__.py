"""Edge hosts claiming their place with a setup code."""
