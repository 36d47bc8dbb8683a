"""Why a bandwidth does not fit: a least cut between source and destination (design, section 6).

Of all sets of places that every way must cross one of, a least cut is one that carries least
together. The most that flows over what is known finds it: what its last search could not cross.
"""

from __future__ import annotations

from substrate.bending import BITS, Phase, Search, rigid, windows_of
from substrate.cutting import least_cut
from substrate.forecast import Forecast, Resource
from substrate.legs import each_leg
from substrate.model import Refusal, RefusalKind, Window, domain_of
from substrate.options import Supply
from substrate.values import dataclass, replace
from substrate.widening import Network


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """A place that is too narrow; see reservations.proto.

    ``resource``: a port, or "STP to STP". ``window``: when only ``free_bps`` is free there; for a
    volume on average.
    ``label``: no VLAN is left; then both are None.
    """

    domain: str
    resource: str
    free_bps: int | None = None
    window: Window | None = None
    label: bool = False


def bottlenecks(search: Search, window: Window, refusal: Refusal) -> tuple[Bottleneck, ...]:
    """The places of a least cut during a window; the one that the refusal names where none is."""
    search, window = _rigid(search, window)
    place = refusal.resource
    if refusal.kind is RefusalKind.LABEL and place:
        return (Bottleneck(refusal.domain or domain_of(place), place, label=True),)
    if refusal.kind not in (RefusalKind.BANDWIDTH, RefusalKind.TOLL):
        return ()
    supply = search.forecast.within(window)
    fits = refusal.kind is RefusalKind.TOLL
    cut = () if fits else sorted(_first_cut(search, supply, window), key=lambda item: str(item[0]))
    if cut:
        return tuple(_bottleneck(search.forecast, window, *tight) for tight in cut)
    if not place:
        return ()
    ingress, to, egress = place.partition(" to ")
    free_bps = supply.pair_bps.get((ingress, egress)) if to else supply.port_bps.get(place)
    if free_bps is None:
        return (Bottleneck(refusal.domain or domain_of(place), place, window=window),)
    return (_bottleneck(search.forecast, window, (ingress, egress) if to else place, free_bps),)


def _rigid(search: Search, window: Window) -> tuple[Search, Window]:
    """What must fit, and when, of criteria that bend.

    Of such as slide it is where most might fit. Of a volume it is the mean rate: places that
    together carry less than the volume in all of the window, at no more than the rate wished for.
    """
    criteria, bend = search.criteria, search.criteria.bend
    if bend is None:
        return search, window
    wanted_bps, known = bend.least_bps or criteria.bandwidth_bps, search.forecast
    if bend.volume_bytes:
        wanted_bps = -(-bend.volume_bytes * BITS // window.duration_s)
        known = known.mean(window, criteria.bandwidth_bps)
    elif bend.duration_s:
        inside = replace(search, forecast=known.until(window.end_s))
        windows = windows_of(inside.forecast, bend.duration_s)
        window = max(windows, key=inside.hope_bps, default=window)
    wish = rigid(criteria, Phase(window, wanted_bps))
    return replace(search, criteria=wish, forecast=known), window


def _first_cut(search: Search, supply: Supply, window: Window) -> list[tuple[Resource, int]]:
    """A least cut; with several destinations that of the first leg that has one.

    It is looked for of each leg alone, then where several cannot but need the same, and at last of
    one beside others.
    """
    criteria = search.criteria
    if not criteria.more_destinations:
        return _cut(search, supply)
    legs = {leg.criteria.destination: leg for leg in search.legs}
    alone = (_cut(leg, supply) for leg in legs.values())
    found = next((cut for cut in alone if cut), []) or _narrowest(search, window)
    if found:
        return found
    asked = (leg.criteria for leg in legs.values())
    turns = each_leg(asked, supply, search.topology, search.plan_leg)
    beside = (_cut(legs[turn.leg.destination], turn.free) for turn in turns)
    found = next((cut for cut in beside if cut), [])
    return [(place, _free_bps(search, supply, place, left_bps)) for place, left_bps in found]


def _narrowest(search: Search, window: Window) -> list[tuple[Resource, int]]:
    """The place that is most too narrow of those that several legs cannot go around."""
    wanted, free = search.criteria.bandwidth_bps, search.free_bps
    room = {place: free(place, window) - wanted * n for place, n in search.shared.items()}
    # Where a port limits, so does each way from it.
    tight = min(
        room, key=lambda place: (room[place], not isinstance(place, str), str(place)), default=""
    )
    return [(tight, free(tight, window))] if room.get(tight, 0) < 0 else []


def _free_bps(search: Search, supply: Supply, place: Resource, left_bps: int) -> int:
    """What is free at a place, of which that much is left by the legs before."""
    if isinstance(place, str):
        return min(search.topology.ports[place].capacity_bps, supply.port_bps.get(place, left_bps))
    return supply.pair_bps.get(place, left_bps)


def _cut(search: Search, supply: Supply) -> list[tuple[Resource, int]]:
    """Places and what they carry, together less than is wanted; none where they carry it."""
    criteria, ports = search.criteria, search.topology.ports
    ends = [
        (min(ports[stp].capacity_bps, supply.port_bps.get(stp, ports[stp].capacity_bps)), stp)
        for stp in (criteria.source, criteria.destination)
    ]
    free_bps, stp = min(ends)
    between = _between(search, supply, min(criteria.bandwidth_bps, free_bps))
    if between is not None:
        return between
    return [(stp, free_bps)] if free_bps < criteria.bandwidth_bps else []


def _between(search: Search, supply: Supply, wanted: int) -> list[tuple[Resource, int]] | None:
    """A least cut between the two ports; None where so much can cross it, as far as was seen."""
    criteria = search.criteria
    if domain_of(criteria.source) == domain_of(criteria.destination):
        pair = (criteria.source, criteria.destination)
        free_bps = supply.pair_bps.get(pair, wanted)
        return [(pair, free_bps)] if free_bps < wanted else None
    avoided = {*criteria.constraints.avoid_domains, *supply.down}
    network = Network(criteria, supply, search.topology, avoided)
    return least_cut(network, wanted)


def _bottleneck(
    forecast: Forecast, window: Window, resource: Resource, free_bps: int
) -> Bottleneck:
    place = resource if isinstance(resource, str) else " to ".join(resource)
    when = window
    levels = forecast.of(resource)
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
