"""How quick ways inside a provider are, and VLinks must be."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cloudnets.partials import AskedVLink
from cloudnets.underlay import Underlay
from embedding.network import Bools, Floats
from rdl.attributes import within
from rdl.model import NetworkElement
from rdl.units import Amount

LATENCY = "/feature/latency"


def too_far(underlay: Underlay, vlinks: Iterable[AskedVLink]) -> dict[str, Bools]:
    """Hosts × hosts per VLink that must be quick: between which no way is as quick as that."""
    bounds = {v.element.id: most for v in vlinks if (most := most_us_of(v)) is not None}
    if not bounds:
        return {}
    network = underlay.network
    found: Floats = np.full((len(network.names), len(network.names)), np.inf)
    np.fill_diagonal(found, 0.0)
    for link in underlay.links.values():
        a, b = (network.number[end] for end in link.ends)
        found[a, b] = found[b, a] = min(found[a, b], latency_us(link.element))
    for middle in range(len(found)):
        np.minimum(found, found[:, middle, None] + found[middle], out=found)
    between = found[: network.hosts, : network.hosts]
    return {name: np.asarray(between > most_us) for name, most_us in bounds.items()}


def most_us_of(vlink: AskedVLink) -> int | None:
    """The latency that it must keep, if any."""
    bounds = [f.value for f in vlink.element.features if within(f.attribute, LATENCY)]
    return min([value.value for value in bounds if isinstance(value, Amount)], default=None)


def latency_us(link: NetworkElement) -> int:
    """What a link says of its latency; 0: nothing."""
    told = [f.value for f in link.features if within(f.attribute, LATENCY)]
    return max([value.value for value in told if isinstance(value, Amount)], default=0)
