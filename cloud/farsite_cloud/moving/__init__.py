"""A cloud's data goes from one database into another, whole or not at all."""
