"""Programs: Python over a product's tables, in isolation, whose only way out are declared statistics, held for review.

`source` reads a program's text, `inputs` lays out what it may see, `environment` is what it may import, `inside` is
what it finds there, `declared` and `collecting` are how its outputs are taken without trusting it, `rules` and
`capacity` say what a reviewer should know about them.
"""
