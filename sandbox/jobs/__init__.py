"""Jobs: runs that wait in a queue in the database, leased by any number of workers on any number of hosts.

A job is a run that was taken on (verified, reviewed, counted) and left to whoever leases it. The run's id is the job's.
Whatever happens to workers, a run ends once: its answer, its receipt and the job's last state share one transaction.
"""
