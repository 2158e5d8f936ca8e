"""Published cubes: what is published of personal data, once, and SQL answered from that alone."""
