"""What the operator knows of models: warranty, ends of support, releases."""
