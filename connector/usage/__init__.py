"""Usage control: what is handed over under an agreement, counted and held to its terms."""
