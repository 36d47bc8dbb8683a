"""Why no path joins two STPs: which of the constraints is in the way."""

from __future__ import annotations

from typing import Any

from orchestrator.finder import RouteFinder
from substrate.model import Constraints, Refusal, RefusalKind
from substrate.routes import Route
from substrate.topology import Topology
from substrate.values import replace

FREE = Constraints()
LIMITS = {
    "max_latency": "max_latency_us",
    "max_domains": "max_domains",
    "min_share": "min_share_bps",
    "via": "via_domains",
    "ero": "ero",
    "avoid": "avoid_domains",
}
"""What users call the limits on routes, and the fields."""


def no_path(
    finder: RouteFinder,
    topology: Topology,
    ends: tuple[str, str],
    constraints: Constraints,
    down: frozenset[str],
) -> Refusal:
    """That no path joins these STPs, and the way that there would be without each one limit.

    ``down``: domains that are left out of every way, whatever was asked.
    """
    left_out = sorted({*constraints.avoid_domains, *down})
    pieces = [f"no path joins {ends[0]} and {ends[1]} within the constraints"]
    pieces += [f", leaving out {', '.join(left_out)}"] if left_out else []
    for name, field in LIMITS.items():
        if getattr(constraints, field) != getattr(FREE, field):
            relaxed: Any = replace(constraints, **{field: getattr(FREE, field)})
            avoid = tuple(sorted({*relaxed.avoid_domains, *down}))
            way = finder.first(topology, *ends, replace(relaxed, avoid_domains=avoid))
            pieces += [f"; without {name} {_text(way)}"] if way is not None else []
    return Refusal(RefusalKind.NO_PATH, "".join(pieces))


def _text(way: Route) -> str:
    return f"there is {' > '.join(way.domains)}, whose links take {way.latency_us / 1000:g} ms"
