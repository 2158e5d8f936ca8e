"""The algorithm repository: programs that are known before they are run, each named by the digest of all it says.

An algorithm declares its parameters and outputs. It is tried on synthetic tables, then reviewed by two people of two
organisations, neither of them its author's; accepted, a run names it by digest. `algorithm` is what one is, `states`
what may become of it, `trial` the try, `repository` keeps them, `asking` makes a run's request a program.
"""
