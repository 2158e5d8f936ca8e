"""The process a computation is locked into: what stands around it, measured from inside before it sees any data."""
