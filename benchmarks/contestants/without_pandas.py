"""As if pandas were not installed.

pyarrow imports pandas with the first array when it finds it: half a second for a program that does not use it.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec


class _Hidden(MetaPathFinder):
    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not for this program", name=name)
        return None


def hide_pandas() -> None:
    """From now on importing pandas fails."""
    sys.meta_path.insert(0, _Hidden())
