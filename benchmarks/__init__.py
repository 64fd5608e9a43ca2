"""Logferry measured beside its peers, against the sandbox: ``make bench`` (see ``python -m benchmarks --help``).

The modules here run on the standard library alone; what needs a package of requirements-bench.txt runs as a
process of its own in ``.venv-bench``. So the parent stays small: a child's peak memory begins at its parent's.
"""
