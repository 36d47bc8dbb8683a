"""What a provider has made of a partial graph: where each VNode runs, and how each VLink lies.

It is stored with the part that it belongs to (agents.backends.base.Placement.detail), so that
everything can be torn down and made again from the database (paper 002, section 5.5).
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Collection, Sequence
from dataclasses import fields
from functools import lru_cache

from substrate.values import dataclass, replace

RESOURCES = ("/resource/cpu", "/resource/memory", "/resource/disk")
"""What a VNode takes of its host."""
MAPPED_MAX = 64
"""Mappings that are remembered as they are read: a large one takes some MB."""

# json.dumps would make an encoder each time.
_to_json = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class MappedVNode:
    """A VNode on a host. ``attribute``: of the host, such as "/node/host/kvm"; picks the plugin.

    ``image``: what it boots from, a word; empty: the plugin's own.
    """

    id: str
    host: str
    attribute: str
    mcores: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    image: str = ""

    @property
    def amounts(self) -> tuple[int, int, int]:
        """What it takes of its host, in the order of RESOURCES."""
        return self.mcores, self.memory_bytes, self.disk_bytes


@dataclass(frozen=True, slots=True)
class MappedVLink:
    """A VLink, or the segment of one that leaves the provider. ``vlan``: what it has inside.

    ``ends``: two ids of VNodes here; or of one, and the STP of the port where it leaves with
    ``outer_vlan`` (0: it does not). ``links``: of the substrate, from the first end to the second;
    none where both are on one host.
    """

    id: str
    vlan: int
    bandwidth_bps: int
    ends: tuple[str, str]
    links: tuple[str, ...] = ()
    outer_vlan: int = 0


SwitchRule = tuple[str, int, str, int, tuple[int, ...], int]
"""Port and VLAN in, port and VLAN out, flow slots of how many: agents.backends.switch.Rule."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A partial graph as it is embedded. ``graph``: completed (OL1), in canonical bytes.

    ``off``: VNodes that their user has stopped. VLinks that pass through, without a VNode here,
    are ordinary segments: of them there are only the ``rules`` of the edge's switch. ``awaits``:
    VNodes that are being carried here, and do not run yet. ``leaves``: those that are being carried
    away, and do not run any more, and ``left_ms`` since when each of them stands still. ``paused``:
    those of both that keep what they have in memory. ``errands``: which one was the last to stop,
    pause or put back a VNode that was to be carried away.
    """

    reservation_id: str
    version: int
    vnodes: tuple[MappedVNode, ...]
    vlinks: tuple[MappedVLink, ...]
    graph: bytes = b""
    off: tuple[str, ...] = ()
    rules: tuple[SwitchRule, ...] = ()
    awaits: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    paused: tuple[str, ...] = ()
    left_ms: tuple[tuple[str, int], ...] = ()
    errands: tuple[tuple[str, int], ...] = ()

    @property
    def still(self) -> frozenset[str]:
        """VNodes that are not to run now."""
        return frozenset((*self.off, *self.awaits, *self.leaves))

    @property
    def keeps_memory(self) -> frozenset[str]:
        """Of these those that are not to lose what they have in memory: what is awaited may come
        with it before that is written here."""
        return frozenset((*self.awaits, *self.paused)).difference(self.off)

    def vnode(self, name: str) -> MappedVNode | None:
        """The one of that id."""
        return next((vnode for vnode in self.vnodes if vnode.id == name), None)

    def switched(self, names: Sequence[str], *, off: bool) -> Mapped:
        """With these VNodes stopped, or not."""
        stopped = set(self.off) | set(names) if off else set(self.off) - set(names)
        return replace(self, off=tuple(sorted(stopped)))

    def begun(self, names: Collection[str]) -> Mapped:
        """With these VNodes awaited no more."""
        awaits = tuple(name for name in self.awaits if name not in names)
        # What is being carried on keeps its memory until it has gone.
        go_on = [name for name in names if name not in self.leaves]
        return replace(self.pausing(go_on, paused=False), awaits=awaits)

    def leaving(self, vnode: str, now_ms: int, *, paused: bool) -> Mapped:
        """With a VNode being carried away, ``paused`` or stopped; it may be so already."""
        since_ms = {vnode: now_ms} | dict(self.left_ms)
        leaves = tuple(sorted({*self.leaves, vnode}))
        after = replace(self, leaves=leaves, left_ms=tuple(sorted(since_ms.items())))
        return after.pausing([vnode], paused=paused)

    def staying(self, names: Collection[str]) -> Mapped:
        """With none of these VNodes being carried away (any more)."""
        left_ms = tuple(each for each in self.left_ms if each[0] not in names)
        leaves = tuple(name for name in self.leaves if name not in names)
        after = replace(self, leaves=leaves, left_ms=left_ms)
        return after.pausing([name for name in names if name not in self.awaits], paused=False)

    def errand(self, vnode: str) -> int:
        """The last one that it was carried away on; 0: none."""
        return dict(self.errands).get(vnode, 0)

    def on_errand(self, vnode: str, errand: int) -> Mapped:
        """With a VNode being carried away, or staying, on that errand; 0: it is not known."""
        if not errand:
            return self
        errands = dict(self.errands) | {vnode: errand}
        return replace(self, errands=tuple(sorted(errands.items())))

    def pausing(self, names: Collection[str], *, paused: bool) -> Mapped:
        """With these VNodes keeping what they have in memory while they stand still, or not."""
        kept = set(self.paused) | set(names) if paused else set(self.paused) - set(names)
        return replace(self, paused=tuple(sorted(kept)))

    def to_json(self) -> str:
        """The form in which it is stored."""
        return _to_json(
            {
                "reservation_id": self.reservation_id,
                "version": self.version,
                "vnodes": [_fields(vnode) for vnode in self.vnodes],
                "vlinks": [_fields(vlink) for vlink in self.vlinks],
                "graph": b64encode(self.graph).decode(),
                "off": self.off,
                "rules": self.rules,
                "awaits": self.awaits,
                "leaves": self.leaves,
                "paused": self.paused,
                "left_ms": self.left_ms,
                "errands": self.errands,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Mapped:
        """The inverse of to_json."""
        return _mapped(text)


@lru_cache(MAPPED_MAX)
def _mapped(text: str) -> Mapped:
    """Who carries VNodes asks for what is stored of all parts again and again."""
    stored = json.loads(text)
    return Mapped(
        reservation_id=stored["reservation_id"],
        version=stored["version"],
        vnodes=tuple(MappedVNode(**vnode) for vnode in stored["vnodes"]),
        vlinks=tuple(
            MappedVLink(**{**vlink, "ends": tuple(vlink["ends"]), "links": tuple(vlink["links"])})
            for vlink in stored["vlinks"]
        ),
        graph=b64decode(stored["graph"]),
        off=tuple(stored["off"]),
        rules=tuple((*rule[:4], tuple(rule[4]), rule[5]) for rule in stored["rules"]),
        # Not in what was stored before VNodes could be carried.
        awaits=tuple(stored.get("awaits", ())),
        leaves=tuple(stored.get("leaves", ())),
        paused=tuple(stored.get("paused", ())),
        left_ms=tuple((vnode, ms) for vnode, ms in stored.get("left_ms", ())),
        errands=tuple((vnode, errand) for vnode, errand in stored.get("errands", ())),
    )


def _fields(value: MappedVNode | MappedVLink) -> dict[str, object]:
    return {field.name: getattr(value, field.name) for field in fields(value)}
