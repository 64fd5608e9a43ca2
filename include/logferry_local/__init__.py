"""The two-command start: embedded PostgreSQL, Airflow and, without credentials, the sandbox, on this machine.

``python -m logferry_local`` (what ``make run`` calls) starts them on 127.0.0.1, exports yesterday's window of every
definition through the scheduler, shows the result, and leaves no process behind.
"""
