"""What a row costs at 10 thousand, 100 thousand, a million and ten million rows: CPU, memory, room on the disk.

    nox -s scale                                   all four, and the plot
    python bench/scale.py --rows 10000 --rows 100000

A first run of objects in calls of 500 and an unchanged run after it, at each size, medians of the rounds. Prints a
table, and writes it with the plot (where matplotlib is there) and the numbers to the folder of --output.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import data
import sink

HERE = Path(__file__).parent
LARGE = 1_000_000  # rows: one round is enough, and takes long
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
RUNS = ("first run", "unchanged run")
PENDO_ROWS_A_SECOND = 20 * 500  # the default rate, times the rows of a call
Result = dict[str, Any]


def main() -> None:
    """Nothing, after measuring and writing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, action="append", help="a size; may be repeated")
    parser.add_argument("--rounds", type=int, default=3, help="of the sizes up to a million; of larger ones, one")
    parser.add_argument("--output", type=Path, default=HERE / "results")
    ask = parser.parse_args()
    measured = []
    for rows in ask.rows or SIZES:
        with tempfile.TemporaryDirectory(prefix="connector-scale-") as folder:
            measured.append(_measured(Path(folder), rows, ask.rounds if rows <= LARGE else 1))
        sys.stderr.write(_line(measured[-1]) + "\n")
    ask.output.mkdir(parents=True, exist_ok=True)
    (ask.output / "scale.json").write_text(json.dumps(measured, indent=1) + "\n")
    head = ("rows", "CPU a row, first run", "CPU a row, unchanged", "seconds", "peak memory", "snapshot", "history")
    table = [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *map(_line, measured)]
    (ask.output / "scale.md").write_text("\n".join(table) + "\n")
    sys.stdout.write("\n".join(table) + "\n")
    if find_spec("matplotlib") is not None:
        _plot(measured, ask.output / "scale.svg")


def _measured(folder: Path, rows: int, rounds: int) -> Result:
    """The medians at one size."""
    warehouse = data.base(folder, rows)
    found: dict[str, list[Result]] = {run: [] for run in RUNS}
    state = folder / "state"
    for _ in range(rounds):
        shutil.rmtree(state, ignore_errors=True)
        for run in RUNS:
            with sink.running(0, folder) as target:
                found[run].append(_run(warehouse, target.url, state))
    return {
        "rows": rows,
        "snapshot_mb": sum(path.stat().st_size for path in state.rglob("*.duckdb")) / 1e6,
        "history_mb": sum(path.stat().st_size for path in state.rglob("history.db*")) / 1e6,
        **{run: {name: _median(found[run], name) for name in ("seconds", "cpu_s", "peak_mb")} for run in RUNS},
    }


def _run(warehouse: Path, url: str, state: Path) -> Result:
    line = [sys.executable, str(HERE / "contenders" / "ours.py"), "--workload", "objects"]
    line += ["--warehouse", str(warehouse), "--url", url, "--state", str(state)]
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: Result = json.loads(done.stdout.splitlines()[-1])
    return found


def _median(found: list[Result], name: str) -> float:
    return statistics.median(each[name] for each in found)


def _line(at: Result) -> str:
    first, unchanged = (at[run] for run in RUNS)
    cells = [f"{at['rows']:,}", *(f"{run['cpu_s'] / at['rows'] * 1e6:.1f} µs" for run in (first, unchanged))]
    cells += [f"{first['seconds']:.1f}, {unchanged['seconds']:.1f}"]
    sizes = (max(first["peak_mb"], unchanged["peak_mb"]), at["snapshot_mb"], at["history_mb"])
    return f"| {' | '.join([*cells, *(f'{size:,.0f} MB' for size in sizes)])} |"


def _plot(measured: list[Result], file: Path) -> None:
    """Nothing, after drawing seconds over rows, both as logarithms, beside what Pendo's own rate allows."""
    import matplotlib as mpl  # noqa: PLC0415 - only here, and only where it is installed

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "connector"  # the same numbers make the same file
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice above

    rows = [at["rows"] for at in measured]
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for run, colour in zip(RUNS, ("#2563eb", "#0d9488"), strict=True):
        seconds = [at[run]["seconds"] for at in measured]
        axes.loglog(rows, seconds, "o-", color=colour, label=f"{run}, a sink without delay")
    slowest = [count / PENDO_ROWS_A_SECOND for count in rows]
    axes.loglog(rows, slowest, "--", color="#9ca3af", label="20 requests a second, 500 rows each")
    axes.set(xlabel="rows", ylabel="seconds")
    axes.grid(visible=True, which="major", color="#e5e7eb")
    axes.legend(frameon=False)
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    main()
