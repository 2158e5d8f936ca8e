"""Who takes part and what is on offer: identifiers, participants, credentials, the catalogue, the interface.

Mount it with `registry.app.build`; call it with `registry.client.RegistryClient`; know your callers with
`registry.access`.
"""
