"""What the management API manages: listings, dealings, computations, and their wire form."""
