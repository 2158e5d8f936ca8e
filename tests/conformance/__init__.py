"""What others verify us with: the official kits, peers of other makes, other implementations of the formats."""
