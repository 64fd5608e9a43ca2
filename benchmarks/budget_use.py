"""Four exports, each a process of its own, on one allowance: what of it is used, how much is refused, who gets what.

    python -m benchmarks.budget_use                                 30 requests per 2 s
    python -m benchmarks.budget_use --limit 3 --period 10 --pages 40 --hours 6

Each process is ``logferry export`` of a day or its beginning against the sandbox, which counts as the API does.
Measured at the sandbox, over the whole periods in which all exports were at work. The exports may have 16 requests
under way, except for the last, which may have only 1 (its connection's ``in_flight``), to see whether it starves.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.limited import DAY, environment, limited_sandbox, logferry
from logferry.budget import RESERVE

EXPORTS = ("alpha", "bravo", "charlie", "delta")


def main() -> None:
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="logferry-budget-") as folder,
        limited_sandbox(
            options.limit,
            options.period,
            events_per_day=options.pages * 20,
            page_rows=20,
            latency_s=options.latency,
        ) as (sandbox, noted),
    ):
        env = environment(sandbox, Path(folder), EXPORTS)
        single = json.loads(env["AIRFLOW_CONN_BENCH"])
        single["extra"]["in_flight"] = 1
        envs = [env] * (len(EXPORTS) - 1) + [{**env, "AIRFLOW_CONN_BENCH": json.dumps(single)}]
        end = DAY[1] if options.hours == 24 else DAY[0].replace("T00", f"T{options.hours:02}")
        running = [
            logferry("export", name, "--from", DAY[0], "--to", end, "--json", env=one)
            for name, one in zip(EXPORTS, envs, strict=True)
        ]
        ended = [process.communicate() for process in running]
    for process, (_, errors) in zip(running, ended, strict=True):
        if process.returncode:
            raise SystemExit(f"an export failed ({process.returncode}): {errors[-2000:]}")
    results = [json.loads(out) for out, _ in ended]
    _print(options, noted.asked, results)


def _print(
    options: argparse.Namespace, asked: list[tuple[int, bool]], results: list[dict[str, object]]
) -> None:
    period_ms = options.period * 1000
    periods: dict[int, int] = {}
    for at, admitted in asked:
        periods[at // period_ms] = periods.get(at // period_ms, 0) + admitted
    # The first period is begun in its middle; at the end one export after the other runs out of work.
    whole = sorted(periods)[1 : max(2, len(periods) * 7 // 10)]
    used = sum(periods.get(number, 0) for number in range(whole[0], whole[-1] + 1))
    due = (whole[-1] - whole[0] + 1) * options.limit * (1 - RESERVE)
    refused = sum(not admitted for _, admitted in asked)
    print(
        f"allowance                       {options.limit} per {options.period} s, {options.latency} s an answer"
    )
    print(f"whole periods measured          {whole[-1] - whole[0] + 1}")
    print(f"used of allowance less reserve  {used / due:.1%} ({used} of {due:.0f})")
    print(f"answered 429                    {refused / len(asked):.2%} ({refused} of {len(asked)})")
    for name, result in zip(EXPORTS, results, strict=True):
        requests, run = result["windows"][0]["requests"], result["windows"][0]["run"]  # type: ignore[index]
        lanes = 1 if name == EXPORTS[-1] else 16
        print(
            f"{name:<10} in flight {lanes:>2}   {requests['search']:>5} searches, done at {run['finished_at']}"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=int, default=30)
    parser.add_argument("--period", type=int, default=2, help="seconds")
    parser.add_argument("--pages", type=int, default=150, help="of each export, about")
    parser.add_argument(
        "--hours", type=int, default=24, choices=range(1, 24 + 1), metavar="H", help="of the day"
    )
    parser.add_argument("--latency", type=float, default=0.1, help="seconds an answer takes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
