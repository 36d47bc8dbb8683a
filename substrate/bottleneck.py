"""Why a bandwidth does not fit: a least cut between source and destination (design, section 6).

Of all sets of places that every way must cross one of, a least cut is one that carries least
together. The cheapest flow over what is known finds it: what its last search could not cross.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from substrate.bending import Search
from substrate.flow import Flow, cheapest_flow
from substrate.forecast import Forecast, Resource
from substrate.model import Refusal, RefusalKind, Window, domain_of
from substrate.options import Supply
from substrate.widening import SINK, SOURCE, Network

ROUNDS_MAX = 256


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """A place that is too narrow; see reservations.proto.

    ``resource``: a port, or "STP to STP". ``window``: when only ``free_bps`` is free there.
    ``label``: no VLAN is left.
    """

    domain: str
    resource: str
    free_bps: int | None = None
    window: Window | None = None
    label: bool = False


def bottlenecks(search: Search, window: Window, refusal: Refusal) -> tuple[Bottleneck, ...]:
    """The places of a least cut during a window; the one that the refusal names where none is."""
    if refusal.kind is RefusalKind.BANDWIDTH:
        supply = search.forecast.within(window)
        found = [
            _bottleneck(search.forecast, window, resource, free_bps)
            for resource, free_bps in sorted(_cut(search, supply), key=lambda item: str(item[0]))
        ]
        if found:
            return tuple(found)
    if not refusal.resource or refusal.kind not in (RefusalKind.BANDWIDTH, RefusalKind.LABEL):
        return ()
    label = refusal.kind is RefusalKind.LABEL
    domain = refusal.domain or domain_of(refusal.resource)
    return (Bottleneck(domain, refusal.resource, window=window, label=label),)


def _cut(search: Search, supply: Supply) -> Iterator[tuple[Resource, int]]:
    """Places and what they carry; together less than is wanted."""
    criteria, topology = search.criteria, search.topology
    wanted = criteria.bandwidth_bps
    for stp in (criteria.source, criteria.destination):
        port = topology.ports[stp]
        free_bps = min(port.capacity_bps, supply.port_bps.get(stp, port.capacity_bps))
        if free_bps < wanted:
            yield stp, free_bps
            return
    ends = {domain_of(criteria.source), domain_of(criteria.destination)}
    if len(ends) == 1:
        pair = (criteria.source, criteria.destination)
        if supply.pair_bps.get(pair, wanted) < wanted:
            yield pair, supply.pair_bps[pair]
        return
    avoided = {*criteria.constraints.avoid_domains, *supply.down}
    network = Network(criteria, supply, topology, avoided)
    flow = cheapest_flow(
        network.leaving, SOURCE, SINK, wanted, to_go=network.to_go, rounds_max=ROUNDS_MAX
    )
    carried = sum(n for arc, n in zip(flow.arcs, flow.amounts, strict=True) if arc.head == SINK)
    reached = _reached(flow)
    if carried >= wanted or SINK in reached:
        return
    for arc in flow.arcs:
        if arc.tail in reached and arc.head not in reached:
            yield network.place(arc), arc.capacity


def _reached(flow: Flow) -> set[int]:
    """The nodes that more could still be brought to."""
    reached, waiting = {SOURCE}, [SOURCE]
    while waiting:
        here = waiting.pop()
        onward = [
            flow.arcs[i].head
            for i in flow.leaving.get(here, ())
            if flow.arcs[i].capacity > flow.amounts[i]
        ]
        back = [flow.arcs[i].tail for i in flow.arriving.get(here, ())]
        for there in (*onward, *back):
            if there not in reached:
                reached.add(there)
                waiting.append(there)
    return reached


def _bottleneck(
    forecast: Forecast, window: Window, resource: Resource, free_bps: int
) -> Bottleneck:
    place = resource if isinstance(resource, str) else " to ".join(resource)
    when = window
    levels = forecast.levels.get(resource)
    if levels is not None:
        slots = forecast.slots_of(window)
        tight = [i for i in range(slots.start, slots.stop) if levels[i] <= free_bps]
        if tight:
            last = next((i for i in tight if i + 1 not in tight), tight[-1])
            when = Window(
                max(window.start_s, forecast.cuts[tight[0]]),
                min(window.end_s, forecast.cuts[last + 1]),
            )
    return Bottleneck(place.partition(":")[0], place, free_bps, when)
