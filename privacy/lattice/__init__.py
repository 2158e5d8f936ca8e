"""The lattice: one planned, noisy, consistent cube per measure, from which every question is answered.

A policy declares attributes as trees with public domains, measures with clip ranges, and how finely tables may be cut.
`plan` decides from the policy alone which noise each part of the cube gets; `publication` turns exact integer marginals
into noisy residual tables; `answers` reads cells and their errors off those, and never anything else. What an answer
can give away is bounded before the first question is asked, and no number of questions adds to it.

Pure mathematics: no SQL, no I/O, no clock. Sources: ResidualPlanner (Xiao, He, Zhang and Kifer 2023) for planning by
orthogonal components, here with hierarchical blocks; Gaussian differential privacy (Dong, Roth and Su 2022) for the
accounting; Canonne, Kamath and Steinke 2020 for exact discrete noise.
"""
