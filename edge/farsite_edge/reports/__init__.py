"""What the edge host tells its cloud."""
