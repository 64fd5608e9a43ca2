"""RESULTS.md, written from the records: tables, what their columns mean, machine, versions, commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.figures import ALL_THERE, Standing, standings
from benchmarks.records import Record, Records
from benchmarks.scenarios import CAREFUL, GROWTH, LOGFERRY, MEMORY, ONE_BY_ONE, PEERS, REQUESTS

API_NAMES = {"datadog": "Datadog Logs Search", "azure": "Azure Log Analytics"}
_COLUMNS = """\
- **rows/s**: rows of the window by the median time of the rounds, from the start of the process to its end.
- **x careful**: how many times as fast as the careful loop of the same table (medians); only between complete results.
- **without start**: the same two without interpreter start and imports, which a running worker has behind it.
- **time**: median (fastest to slowest) seconds.
- **CPU**: user and system seconds of the contestant, all threads and processes; **server** those of the sandbox, which
  runs on the same cores.
- **peak memory**: the most memory held at once, the highest of the rounds: `ru_maxrss` of the process, or, where it
  started others, what all of them held together if that is more (PSS of the tree, to 3 %, looked at every 50 ms).
- **requests**: everything the server was asked, counts and schemas too; **size**: of the Parquet files.
- **result**: read back with DuckDB after every round: rows, distinct ids, and a checksum over all ids (for Datadog in
  order of time) against the server's; then the contents, row by row, against what the sandbox's generator says they
  are, without a line of Logferry's own code ([`truth.py`](truth.py), [`contents.py`](contents.py)). Of Logferry's
  files every column, with the free-form JSON byte for byte and the 100 ns ticks, no column beside them, and that time
  never goes back in a file. Of a peer's, for Datadog time, message, service, status and host (tags and attributes each
  writes anew in a way of its own), for Azure every column, a NaN as good as nothing. Anything but `complete` says what
  is wrong.
"""
_METHOD = """\
One server for all contestants of a table: the sandbox in a process of its own, on the same machine, its caps on rates
lifted, its answers not compressed. Every contestant is a process of its own, one after another, in turn
(A B C, A B C, …), after one run to warm caches of compiled modules. Peers have an environment of their own
(`.venv-bench`, from `requirements-bench.txt`), with the same versions of pyarrow, requests and urllib3 as Logferry's.
The contestants are the short programs in [`contestants/`](contestants); Logferry is the command `logferry export`,
with its counts, its proof, its checksums and its manifest, all of which the others do without. A contestant that is
expected to need more than 60 s for a round, or that needed them for its first, has one round, and is left out beyond
150 s (`--patient` runs all). The column **rounds** says how many there were.
"""


def report(records: Records) -> str:
    """The whole page."""
    sections = [
        "# Benchmarks\n\nWritten by `make bench`; the numbers of every round are in [`results.json`](results.json).\n",
        "## How it is measured\n\n" + _METHOD + "\n" + _COLUMNS,
        "## Machine and versions\n\n" + _machine(records),
    ]
    found = sorted(records.found.values(), key=_place)
    for api, name in API_NAMES.items():
        own = [one for one in found if one.part == PEERS and one.api == api]
        if own:
            sections.append(f"## {name}: beside its peers\n\n" + "\n".join(map(_peers, own)))
    if own := [one for one in found if one.part == REQUESTS]:
        sections.append("## Requests against the least possible\n\n" + _requests(own))
    if own := [one for one in found if one.part == GROWTH]:
        sections.append("## Growth\n\n" + _growth(own))
    if own := [one for one in found if one.part == MEMORY]:
        sections.append("## Memory in awkward cases\n\n" + _growth(own))
    if records.server:
        sections.append("## The server by itself\n\n" + _server(records))
    sections += [f"## {title}\n\n{text}" for title, text in records.texts.items()]
    sections.append("## Commands\n\n" + _commands(found))
    return "\n".join(sections).rstrip() + "\n"


def _place(record: Record) -> tuple[int, int, int, str, int]:
    """Where in its table a scenario stands, whenever it was measured."""
    order = (PEERS, REQUESTS, GROWTH, MEMORY).index(record.part), list(API_NAMES).index(record.api)
    if record.part in (GROWTH, MEMORY):
        return (*order, 0, record.title, record.rows)
    return (*order, record.latency_ms, "", 0)  # else as they were measured


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A Markdown table; the first ``left`` columns are text, the others align right."""
    marks = ["---" if number < left else "---:" for number in range(len(titles))]
    lines = [titles, marks, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _machine(records: Records) -> str:
    machine = records.machine
    product = ", ".join(f"{name} {version}" for name, version in machine["product"].items())
    peers = ", ".join(f"{name} {version}" for name, version in machine["peers"].items())
    memory = f"{machine['memory_bytes'] / 2**30:.0f} GiB"
    lines = [
        f"- {machine['cpu']}, {machine['cores']} cores, {memory} of memory, {machine['kernel']}",
        f"- Logferry and the sandbox: {product}"
        + (f", commit {machine['revision']}" if machine["revision"] else ""),
        f"- Peers: {peers}",
    ]
    return "\n".join(lines) + "\n"


def _peers(record: Record) -> str:
    what = f"{record.rows:,} rows of about {record.event_bytes:,} bytes, {record.latency_ms} ms a request"
    lines = [f"### {what}{f', {record.title}' if record.title else ''}\n"]
    ranked = standings(record.rounds, rows=record.rows, reference=CAREFUL)
    titles = [
        "contestant",
        "rows/s",
        "x careful",
        "without start, rows/s",
        "x careful",
        "time",
        "CPU",
        "server",
    ]
    titles += ["peak memory", "requests", "size", "rounds", "result"]
    lines.append(table(titles, (_peer_row(one, record.rows) for one in ranked)))
    lines += _overlap(ranked, standings(record.rounds, rows=record.rows, reference=ONE_BY_ONE.name))
    lines += [f"{name}: not run, {reason}.\n" for name, reason in record.left_out.items()]
    return "\n".join(lines)


def _peer_row(one: Standing, rows: int) -> list[str]:
    complete = one.verdict == ALL_THERE
    spread = f" ({one.fastest_s:.2f} to {one.slowest_s:.2f})" if one.rounds > 1 else ""
    return [
        one.contestant,
        f"{one.rows_per_s:,.0f}" if complete else "-",
        times(one.ratio),
        f"{rows / one.carry_s:,.0f}" if complete and one.carry_s else "-",
        times(one.carry_ratio),
        seconds(one.wall_s) + spread,
        seconds(one.cpu_s),
        seconds(one.server_cpu_s),
        megabytes(one.peak_bytes),
        f"{one.requests:,}",
        megabytes(one.bytes),
        str(one.rounds),
        one.verdict,
    ]


def _overlap(by_careful: Sequence[Standing], by_one: Sequence[Standing]) -> list[str]:
    """What waiting side by side is worth: Logferry against itself with one request at a time."""
    own = next((one for one in by_one if one.contestant == LOGFERRY.name), None)
    if own is None or own.ratio is None:
        return []
    careful = next(one for one in by_careful if one.contestant == LOGFERRY.name)
    text = (
        f"Logferry against itself with one request at a time: {times(own.ratio)} times as fast, "
        f"{times(own.carry_ratio)} without start; against the careful loop: {times(careful.ratio)} and "
        f"{times(careful.carry_ratio)}.\n"
    )
    return [text]


def _requests(records: Sequence[Record]) -> str:
    text = (
        "The least: for each slice that holds rows, as many answers as its rows need (Datadog: 1,000 rows an answer; "
        "Azure: 500,000 rows or 64 MB). Counts and schemas come on top of searches.\n\n"
    )
    rows = []
    for one in records:
        # The round that asked the most.
        measured = max(one.rounds, key=lambda each: each.sent, default=None)
        if measured is None:
            continue
        searches = measured.requests.get("search", measured.sent)
        others = measured.sent - searches
        share = "-" if not one.minimum else f"{searches / one.minimum:.3f}"
        whole = "-" if not one.minimum else f"{measured.sent / one.minimum:.3f}"
        cells = [
            f"{one.api}, {one.title}",
            f"{one.rows:,}",
            str(one.minimum or "-"),
            f"{searches:,}",
            share,
        ]
        wrong = [each.verdict for each in one.rounds if each.verdict != ALL_THERE]
        rows.append([*cells, f"{others:,}", whole, str(len(one.rounds)), wrong[0] if wrong else ALL_THERE])
    titles = [
        "day",
        "rows",
        "least",
        "searches",
        "searches ÷ least",
        "counts, schemas",
        "all ÷ least",
        "rounds",
        "result",
    ]
    return text + table(titles, rows)


def _server(records: Records) -> str:
    """How much faster the server is than the fastest export from it."""
    text = (
        f"`{records.server['command']}`: one connection of a reader that looks at nothing but where an answer ends, "
        "server and reader in turn. **CPU**: microseconds of the server per row; a second divided by it is what one "
        "server process can give to many connections. **x fastest export**: rows/s here by those of the fastest export "
        "above, at 0 ms a request and without start.\n\n"
    )
    rows = []
    for rate in records.server["rates"]:
        per_s = rate["rows"] / rate["seconds"]
        fastest = _fastest_export(records, str(rate["server"]).partition(",")[0].lower())
        rows.append(
            [
                rate["server"],
                f"{rate['rows']:,}",
                f"{rate['body_bytes'] / rate['rows']:,.0f}",
                f"{per_s:,.0f}",
                f"{rate['body_bytes'] / rate['seconds'] / 1e6:,.0f} MB/s",
                f"{rate['server_cpu_s'] / rate['rows'] * 1e6:.2f} us",
                times(per_s / fastest if fastest else None),
            ]
        )
    return text + table(["server", "rows", "bytes a row", "rows/s", "bytes", "CPU", "x fastest export"], rows)


def _fastest_export(records: Records, api: str) -> float | None:
    """Rows a second without interpreter start, of whole results."""
    return max(
        (
            record.rows / one.carry_s
            for record in records.found.values()
            if (record.part, record.api, record.latency_ms) == (PEERS, api, 0)
            for one in record.rounds
            if one.verdict == ALL_THERE and one.contestant == LOGFERRY.name and one.carry_s
        ),
        default=None,
    )


def _growth(records: Sequence[Record]) -> str:
    picture = ""
    if records[0].part == GROWTH:
        picture = "![Time and peak memory against rows](../docs/images/growth.svg)\n\n"
    return picture + table(
        [
            *("Logferry", "rows", "a row", "time", "rows/s", "CPU", "peak memory"),
            *("answers", "size", "rounds", "result"),
        ],
        (
            _growth_row(record, one)
            for record in records
            for one in standings(record.rounds, rows=record.rows, reference=LOGFERRY.name)
        ),
    )


def _growth_row(record: Record, one: Standing) -> list[str]:
    spread = f" ({one.fastest_s:.2f} to {one.slowest_s:.2f})" if one.rounds > 1 else ""
    return [
        ", ".join(part for part in (record.api, record.title) if part),
        f"{record.rows:,}",
        f"{record.event_bytes:,} bytes",
        seconds(one.wall_s) + spread,
        f"{one.rows_per_s:,.0f}",
        seconds(one.cpu_s),
        megabytes(one.peak_bytes),
        megabytes(record.rounds[0].served_bytes),
        megabytes(one.bytes),
        str(one.rounds),
        one.verdict,
    ]


def _commands(records: Sequence[Record]) -> str:
    def lines() -> Iterator[str]:
        commands: dict[str, list[Record]] = {}
        for one in records:
            commands.setdefault(one.command, []).append(one)
        for command, own in commands.items():
            days = sorted({one.measured_at[:10] for one in own})
            yield f"- `{command}`, {', '.join(days)}: {', '.join(sorted({one.part for one in own}))}"

    return "\n".join(lines()) + "\n"


def times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def megabytes(value: int) -> str:
    """Decimal megabytes."""
    return f"{value / 1e6:,.0f} MB" if value >= 1e7 else f"{value / 1e6:,.1f} MB"
