"""Eclipse EDC as a live peer of our connector, in both directions."""
