"""Single-table SQL: which of it is read, what it means, and whether it may be asked. Pure."""
