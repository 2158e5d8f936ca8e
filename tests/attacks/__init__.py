"""Attacks on the sandbox, each an executable case beside its defence. The numbers are those of the privacy survey.

The end of a test run shows a scoreboard: what was refused, what was answered and gave nothing, what came through.
"""
