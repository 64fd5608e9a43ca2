"""Makes an Airflow import error of the export definitions that cannot be read, and holds no DAG.

Airflow keeps one import error per DAG file and drops every DAG of a file that raises. Raising here, and not in
``log_exports.py``, keeps the readable exports running while the broken files are named in the UI and in
``airflow dags list-import-errors``, each with its reason and remedy.
"""

from __future__ import annotations

from logferry.errors import DefinitionError
from logferry.spec import load_exports

broken = load_exports().broken
if broken:
    raise DefinitionError("\n".join(reason for _, reason in sorted(broken.items())))
