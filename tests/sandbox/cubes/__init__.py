"""Published cubes."""
