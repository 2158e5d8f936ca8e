"""Evidence: an append-only Merkle log with receipts anybody can check, anchored on an EVM chain.

It knows digests and public facts only; what the digests stand for is the business of the packages above.
"""
