"""``python -m tests.chaos``: random faults, kills and races over many windows; in the end, is the lake the truth?

Exit code 1, the violations and the seed when it is not.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.figures import show
from tests.chaos.run import Plan, chaos

_SECONDS_PER_WINDOW = 10


def main() -> int:
    options = _options()
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    again = f"python -m tests.chaos --seed {seed} --store {options.store} --seconds {options.seconds}"
    if options.windows is not None:
        again += f" --windows {options.windows}"
    if options.rounds is not None:
        again += f" --rounds {options.rounds}"
    print(f"seed {seed}; again: {again}", flush=True)
    stores = ("local", "s3") if options.store == "both" else (options.store,)
    seconds = options.seconds / len(stores)
    windows = options.windows or max(3, round(seconds / _SECONDS_PER_WINDOW))
    folder = Path(tempfile.mkdtemp(prefix="logferry-chaos-"))
    halves = [chaos(Plan(seed, store, seconds, windows, options.rounds), folder / store) for store in stores]
    show(halves)
    failed = any(half.violations for half in halves)
    if options.json is not None:
        figures = {"seed": seed, "again": again, "stores": [half.to_json() for half in halves]}
        options.json.write_text(json.dumps(figures, indent=1))
    if failed:
        print(f"what the runs left is in {folder}")
    else:
        shutil.rmtree(folder)
    print(f"{'VIOLATED' if failed else 'all true'}; seed {seed}; again: {again}", flush=True)
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--seed", type=int, metavar="N", help="decides everything but the timing; default: random"
    )
    parser.add_argument("--seconds", type=int, default=300, metavar="S", help="in all, default 300")
    parser.add_argument("--store", choices=["local", "s3", "both"], default="both")
    parser.add_argument("--windows", type=int, metavar="N", help="per export and store; default: by the time")
    parser.add_argument("--rounds", type=int, metavar="N", help="per store, instead of a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
