"""Local stand-ins for the log APIs Logferry reads: strict like the real ones, with faults on request.

Imports nothing of the engine, so that a mistake in the engine cannot hide behind the same mistake here.
Start everything with ``python -m logferry_sandbox``.
"""
