"""The mathematics of saying only what may be said: disclosure rules, differencing, encrypted sums. No I/O."""
