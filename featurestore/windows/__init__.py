"""What each aggregate function is, and the one kernel that computes them over sorted events.

`functions` and `spec` are light; `kernel` loads numba and pyarrow, so it is imported by what computes.
"""
