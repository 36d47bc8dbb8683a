"""The attributes that are known, and what kind of value each has. Below each, more may be said."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum

from rdl.attributes import stem, within
from rdl.units import Unit


class Meaning(Enum):
    """How a request's value of a feature is held against a substrate's."""

    WORDS = "any of the words"
    AT_MOST = "at most"
    AT_LEAST = "at least"
    VLANS = "any of the VLANs"
    GIVEN = "words for who embeds it"
    """Held against nothing: a substrate does not have it, it is brought there."""
    KINDS = "words for kinds of hosts"
    """As WORDS, but that no relation is about it."""


@dataclass(frozen=True, slots=True)
class FeatureKind:
    """What a feature's value is; ``unit`` where it is a bound."""

    meaning: Meaning
    unit: Unit | None = None


WORDS = FeatureKind(Meaning.WORDS)
PRICE = FeatureKind(Meaning.AT_MOST, Unit.PRICE_MICROS)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Known attributes. What lies below one (``/node/host/server/x4150``) is known too.

    Of elements and interfaces what lies above is known as well: ``/node/generic`` is any node.
    """

    elements: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    resources: Mapping[str, Unit] = field(default_factory=dict)
    features: Mapping[str, FeatureKind] = field(default_factory=dict)

    def has_element(self, attribute: str) -> bool:
        return _related(attribute, self.elements)

    def has_interface(self, attribute: str) -> bool:
        return _related(attribute, self.interfaces)

    def unit_of(self, attribute: str) -> Unit | None:
        """The unit of a resource; None when it is not known."""
        known = self.resource_type(attribute)
        return None if known is None else self.resources[known]

    def resource_type(self, attribute: str) -> str | None:
        """The known attribute of a resource: of ``/resource/disk/ssd``, ``/resource/disk``."""
        return _longest(attribute, self.resources)

    def type_of(self, attribute: str) -> str:
        """As :meth:`resource_type`; one that is not known is a type of its own."""
        return self.resource_type(attribute) or attribute

    def kind_of(self, attribute: str) -> FeatureKind | None:
        """What a feature's value is; None when the feature is not known."""
        known = _longest(attribute, self.features)
        return None if known is None else self.features[known]


STANDARD = Vocabulary(
    elements=(
        "/node/host",
        "/node/switch",
        "/node/bridge",
        "/link/transit",
        "/link/circuit",
        "/link/ethernet",
        "/link/mpls",
        "/link/openflow",
        "/link/tunnel",
        "/link/vlan",
    ),
    interfaces=("/interface/ethernet", "/interface/tunnel"),
    resources={
        "/resource/accelerator": Unit.COUNT_PIECES,
        "/resource/bandwidth": Unit.BANDWIDTH_BPS,
        "/resource/cpu": Unit.COMPUTE_MCORES,
        "/resource/disk": Unit.DATA_BYTES,
        "/resource/memory": Unit.DATA_BYTES,
        "/resource/terminals": Unit.COUNT_PIECES,
    },
    features={
        "/feature/architecture": WORDS,
        "/feature/image": FeatureKind(Meaning.GIVEN),
        "/feature/kind": FeatureKind(Meaning.KINDS),
        "/feature/largest/accelerator": FeatureKind(Meaning.AT_LEAST, Unit.COUNT_PIECES),
        "/feature/largest/bandwidth": FeatureKind(Meaning.AT_LEAST, Unit.BANDWIDTH_BPS),
        "/feature/largest/cpu": FeatureKind(Meaning.AT_LEAST, Unit.COMPUTE_MCORES),
        "/feature/largest/disk": FeatureKind(Meaning.AT_LEAST, Unit.DATA_BYTES),
        "/feature/largest/memory": FeatureKind(Meaning.AT_LEAST, Unit.DATA_BYTES),
        "/feature/largest/terminals": FeatureKind(Meaning.AT_LEAST, Unit.COUNT_PIECES),
        "/feature/latency": FeatureKind(Meaning.AT_MOST, Unit.DURATION_US),
        "/feature/location": WORDS,
        "/feature/mtu": FeatureKind(Meaning.AT_LEAST, Unit.DATA_BYTES),
        "/feature/power": FeatureKind(Meaning.AT_MOST, Unit.POWER_MW),
        "/feature/price/accelerator": PRICE,
        "/feature/price/bandwidth": PRICE,
        "/feature/price/cpu": PRICE,
        "/feature/price/disk": PRICE,
        "/feature/price/memory": PRICE,
        "/feature/price/terminals": PRICE,
        "/feature/virtualization": WORDS,
        "/feature/vlan": FeatureKind(Meaning.VLANS),
    },
)
"""What the paper's examples and the design need (paper 002, sections 2.3 to 6)."""


def not_known(attribute: str, known: Iterable[str]) -> str:
    """Why an attribute is refused, with what comes nearest."""
    possible = sorted(known)
    near = get_close_matches(attribute, possible, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"'{attribute}' is not known; {hint}possible: {', '.join(possible)}, or below one"


def _related(attribute: str, known: Iterable[str]) -> bool:
    asked = stem(attribute)
    return any(within(asked, each) or within(each, asked) for each in known)


def _longest(attribute: str, known: Container[str]) -> str | None:
    while attribute and attribute not in known:
        attribute = attribute.rpartition("/")[0]
    return attribute or None
