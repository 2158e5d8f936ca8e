"""Products on sale: compliance gate, certificates, listings, orders, metering, settlement; and the space that hosts it."""
