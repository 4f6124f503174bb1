"""Policy templates: documents that campaigns apply to many edge hosts."""
