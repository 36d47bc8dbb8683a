"""``make bench``: every scenario beside the naive system, as a table and as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.load import Load
from benchmarks.world import world

VARIANTS = ("naive", "unary", "stream")
IN_FLIGHT = (1, 16, 128, 512)
WARM_UP_S = 3.0


@dataclass(frozen=True, slots=True)
class Row:
    """What one variant did in one scenario; ``cpu_us``: of all its processes, per reservation."""

    scenario: str
    variant: str
    in_flight: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    ratio_to_naive: float | None = None


def committing(folder: Path, variant: str, in_flight: int, seconds: float, fsync_ms: float) -> Row:
    """Circuits through four domains, committed."""
    scenario = f"commit, fsync +{fsync_ms:g} ms" if fsync_ms else "commit"
    with world(folder, variant, fsync_ms) as made:
        load = Load(variant, in_flight)

        async def run() -> list[float]:
            ask = load.stream if variant == "stream" else load.unary
            asking = asyncio.create_task(ask(made.target))
            await asyncio.wait([asking], timeout=WARM_UP_S)
            before = made.cpu_s()
            load.begin()
            await asyncio.wait([asking], timeout=seconds)
            load.end()
            used = [after - was for after, was in zip(made.cpu_s(), before, strict=True)]
            await asking
            return used

        used_s = asyncio.run(run())
    measured = load.measured
    if measured.refused or not measured.latencies_s:
        raise SystemExit(f"{variant}: {measured.refused} refused\n{made.errors()}")
    return Row(
        scenario,
        variant,
        in_flight,
        measured.per_second,
        measured.percentile_ms(50),
        measured.percentile_ms(99),
        1e6 * sum(used_s) / len(measured.latencies_s),
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="measured per row")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--in-flight", nargs="+", type=int, default=IN_FLIGHT)
    parser.add_argument("--fsync-ms", nargs="+", type=float, default=[0.0, 1.0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results.json"))
    given = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="braid-bench-") as folder:
        for fsync_ms in given.fsync_ms:
            for in_flight in given.in_flight if not fsync_ms else [128]:
                naive = None
                for variant in given.variants:
                    place = Path(folder) / str(len(rows))
                    row = committing(place, variant, in_flight, given.seconds, fsync_ms)
                    naive = naive or (row.per_second if variant == "naive" else None)
                    ratio = row.per_second / naive if naive else None
                    rows.append(Row(**{**asdict(row), "ratio_to_naive": ratio}))
                    show(rows[-1])
    given.out.write_text(json.dumps({"rows": [asdict(row) for row in rows]}, indent=1) + "\n")


def show(row: Row) -> None:
    """One line."""
    ratio = f"{row.ratio_to_naive:7.1f}x" if row.ratio_to_naive is not None else "       -"
    print(
        f"{row.scenario:22} {row.variant:8} {row.in_flight:4} in flight {row.per_second:8.1f}/s"
        f" {ratio}  p50 {row.p50_ms:8.1f} ms  p99 {row.p99_ms:8.1f} ms {row.cpu_us:9.0f} us CPU",
        flush=True,
    )


if __name__ == "__main__":
    main()
