"""Every message and schema that two parts of Farsite share. Imports pydantic and nothing else."""
