"""The command groups of ``hexi connector``, one module a subject: each has an `app`, which `connector.cli` hangs in.

A command asks the connector through `connector.client`, prints with `connector.commands.output`, and has a ``--home``
and a ``--json``. Its docstring teaches: what it does, in Chinese too, and an ``Example:`` that can be typed as it
stands. What goes wrong is raised; `hexi.cli` prints it with its code and gives the exit code. Exit code 1 is a refusal.
"""
