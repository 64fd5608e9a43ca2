"""What the growth chart shows."""

from __future__ import annotations

from benchmarks.chart import growth


def test_points_are_sorted_by_rows_and_only_complete_growth_counts() -> None:
    whole = {"verdict": "complete", "wall_s": 2.0, "peak_bytes": 3_000_000}
    found = growth(
        [
            {"part": "growth", "api": "azure", "rows": 100, "rounds": [whole]},
            {"part": "growth", "api": "azure", "rows": 10, "rounds": [{**whole, "wall_s": 1.0}]},
            {
                "part": "growth",
                "api": "azure",
                "rows": 1000,
                "rounds": [{**whole, "verdict": "1 of 1,000 rows lost"}],
            },
            {"part": "peers", "api": "azure", "rows": 5, "rounds": [whole]},
        ]
    )
    assert found == {"azure": [(10, 1.0, 3.0), (100, 2.0, 3.0)]}
