"""Longyizhen (陇易诊): three hospitals, a planner and an auditor, on real data. Run it with ``make demo``.

The data are real: statsmodels ships ``randhie``, 20,190 person-years of medical use from the RAND health insurance
experiment (public domain). The hospitals, the planner and the person numbers are invented.
"""
