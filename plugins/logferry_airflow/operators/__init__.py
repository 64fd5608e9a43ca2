"""Operators: the three tasks of a generated export DAG, and two that carry a whole window alone."""
