"""Logferry's engine: time-windowed log searches to Parquet, with a proof for every window.

The way through: definition → plan → fetch → convert → write → prove → publish. Nothing here imports Airflow.
"""

__version__ = "0.1.0"
