"""Keeps pyarrow from importing pandas, which nothing here uses and which takes a second or two of each process.

Where numpy and pandas are installed, the first ``pa.array`` or compute function with a Python value imports pandas to
see whether that value is one of its own: Cython (``pandas-shim.pxi``) and C++ (``InitPandasStaticData``), each once.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pyarrow as pa


class _NoPandas(MetaPathFinder):
    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "pandas" and threading.get_ident() == self._thread:
            raise ImportError("pyarrow asks for pandas, which is not needed here")
        return None


def keep_pandas_out() -> None:
    """For a process that runs nothing but exports; does nothing where pandas is imported already.

    Until a later ``to_pandas`` or ``from_pandas``, which work as ever, pyarrow takes a pandas Series for any sequence:
    its NaN are not nulls. So this is not for a process that runs other people's code.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([1])  # without a type: with one only Cython asks
    finally:
        sys.meta_path.remove(finder)
