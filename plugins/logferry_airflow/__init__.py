"""Logferry in Airflow: hooks, operators, connection forms.

What lives here: connection lookup, templating, the run's window, deferral, Airflow's decisions about errors.
How logs are read, proven and published is the engine's (``logferry``), which knows no Airflow.
"""
