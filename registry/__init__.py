"""Who takes part and what is on offer: identifiers, participants, credentials, the catalogue, the interface."""
