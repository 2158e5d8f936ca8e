"""The Dataspace Protocol's official technology compatibility kit, run against our engine.

    python -m tests.conformance.dsp --database postgresql --runs 3

`script` plays the kit's scenarios as a `connector.protocol.decisions.Decisions`, `connector` serves the engine with it,
`kit` runs the published kit, `__main__` puts them together. Production code knows nothing of any of this.
"""
