"""The marketplace: who may sell what and at which price, what was bought and used, and who gets which part of it.

::

    product -> compliance gate -> rights certificate -> listing -> order -> metered runs -> statement -> settlement
               `compliance`       `certificates`        `listings` `orders` `metering`      `statements` `settlement`

Those modules decide and do no I/O. Three desks carry the decisions out, each in the caller's transaction and each with
its entry in the log: `registrar` (certificates), `exchange` (listings and orders), `clearing` (metering, statements,
settlements). `space` puts the marketplace, the registry and the ledger into one process.
"""
