"""The controlled lane: SQL over tables of products without persons, or by analysts whom the provider knows by name.

`columns` says what a column may be used for, `grammar` what a query may consist of. A query over data without persons
is rewritten by `plain` and runs nearly as it stands. One over persons is compiled by `relations`, which carry the
entity key through joins, unions, sub-queries and WITH, and by `cells` at its top. Both work on the parsed tree, give
every name anew, and follow what each value is made of, so that a column's level holds under whatever name it comes out.
`answers` says what may leave, `questions` puts it together.
"""
