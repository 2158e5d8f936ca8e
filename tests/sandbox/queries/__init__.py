"""Single-table SQL."""
