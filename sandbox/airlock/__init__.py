"""The airlock: what a run computed is held until people of the provider have looked at it.

A lane whose result names a `Hold` gets no answer out: the output is sealed in the provider's store, named reviewers see
it with its lineage, the rule report and what was released earlier, and their votes release or refuse it. States and
audit follow OpenSAFELY's airlock; the rules are pure (`states`, `decisions`), and every step is one transaction with
its audit row and its evidence (`airlock`).
"""
