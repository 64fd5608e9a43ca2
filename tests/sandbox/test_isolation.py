import subprocess
import sys

PROBE = """
import importlib, pkgutil, sys
import logferry_sandbox
for module in pkgutil.iter_modules(logferry_sandbox.__path__):
    importlib.import_module(f"logferry_sandbox.{module.name}")
foreign = {"logferry", "logferry_airflow", "airflow"}
print([name for name in sys.modules if name.partition(".")[0] in foreign])
"""


def test_the_sandbox_shares_no_code_with_what_it_tests() -> None:
    found = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
