"""``make bench``: every scenario beside its baseline in the same run, as a table and as JSON."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from benchmarks.bend_calls import bend_calls
from benchmarks.commits import commit, hot_link, slow_disk
from benchmarks.long_calendars import long_calendars
from benchmarks.plan_calls import plan_calls, plan_calls_live
from benchmarks.setting import VARIANTS, Setting
from benchmarks.world import BrokenError


def alone(setting: Setting, module: str, sizes: tuple[int, ...], what: str) -> None:
    """What a module measures without any server: its ``measure`` of each size."""
    if find_spec(f"benchmarks.{module}") is None:
        setting.results.skip(module, "it is not there")
        return
    measure: Callable[[int], dict[str, float]]
    measure = importlib.import_module(f"benchmarks.{module}").measure
    scenarios = [f"{module}, {size:,} {what}" for size in sorted(sizes)]
    for scenario, size in zip(scenarios, sorted(sizes), strict=True):
        for figure, value in measure(size).items():
            setting.results.note(scenario, figure, value, baseline=scenarios[0])


SCENARIOS: dict[str, Callable[[Setting], None]] = {
    "commit": commit,
    "fsync": slow_disk,
    "hot": hot_link,
    "live": long_calendars,
    "bend": bend_calls,
    "plan": plan_calls,
    "plan-live": plan_calls_live,
    "planning": lambda setting: alone(setting, "planning", setting.nodes, "nodes"),
    "mapping": lambda setting: alone(setting, "mapping", setting.providers, "providers"),
    "restart": lambda setting: alone(setting, "restart", setting.live, "rows"),
}

QUICK = Setting(
    folder=Path(),
    seconds=0.5,
    warm_up_s=0.5,
    in_flight=(1, 16),
    busy=16,
    live=(500, 2000),
    nodes=(4, 10),
    providers=(3,),
)


def main() -> None:
    """See the module."""
    given = _arguments()
    usual = QUICK if given.quick else Setting(Path())
    with tempfile.TemporaryDirectory(prefix="braid-bench-") as folder:
        setting = replace(
            usual,
            folder=Path(folder),
            seconds=given.seconds or usual.seconds,
            variants=tuple(given.variants or usual.variants),
            in_flight=tuple(given.in_flight or usual.in_flight),
            live=tuple(given.live or usual.live),
            nodes=tuple(given.nodes or usual.nodes),
            providers=tuple(given.providers or usual.providers),
        )
        broken = [name for name in given.scenario if not _ran(name, setting)]
    setting.results.write(given.out)
    sys.exit(1 if broken else 0)


def _ran(name: str, setting: Setting) -> bool:
    """Whether a scenario could be measured; if not, the others still are."""
    try:
        SCENARIOS[name](setting)
    except BrokenError as error:
        setting.results.skip(name, str(error))
        return False
    except Exception as error:
        # A quarter of an hour's figures are not lost for a fault in one of them.
        traceback.print_exc()
        setting.results.skip(name, repr(error))
        return False
    return True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__)
    parser.add_argument("--scenario", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="seconds: to see whether it works")
    parser.add_argument("--seconds", type=float, help="measured per row")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS)
    parser.add_argument("--in-flight", nargs="+", type=int, help="circuits asked for at once")
    parser.add_argument("--live", nargs="+", type=int, help="live reservations in an agent")
    parser.add_argument("--nodes", nargs="+", type=int, help="domains of a network; 80: ESnet")
    parser.add_argument("--providers", nargs="+", type=int, help="that a CloudNet is mapped on")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
