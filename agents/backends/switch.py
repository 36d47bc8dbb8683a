"""A switch that carries out rules on frames: the device behind ``sdx`` and ``pip`` domains.

A rule bridges a VLAN in on a port to another VLAN out of a port. Where one (port, VLAN) is split,
its rules differ in the flow slots that they take (docs/decisions/0003). Paper 003, section 4.3.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Protocol

from agents.backends.base import DeviceError
from substrate.values import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """What a switch sees of a frame. ``port`` is where it enters; addresses as text."""

    port: str
    vlan: int
    source_ip: str
    destination_ip: str
    source_port: int
    destination_port: int

    def answer(self, port: str, vlan: int) -> Frame:
        """A frame of the way back (an acknowledgement, say), entering at ``port``."""
        return Frame(
            port,
            vlan,
            self.destination_ip,
            self.source_ip,
            self.destination_port,
            self.source_port,
        )


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """Frames in at (``in_port``, ``in_vlan``) whose slot is in ``slots`` go out as told."""

    in_port: str
    in_vlan: int
    out_port: str
    out_vlan: int
    slots: tuple[int, ...] = (0,)
    slot_count: int = 1

    def __str__(self) -> str:
        split = f" slots {_ranges(self.slots)} of {self.slot_count}" if self.slot_count > 1 else ""
        return (
            f"in {self.in_port} vlan {self.in_vlan}{split} -> "
            f"out {self.out_port} vlan {self.out_vlan}"
        )


def flow_slot(frame: Frame, slot_count: int) -> int:
    """The slot of a frame's flow: the same for both directions and at every switch."""
    pair = "|".join(sorted((frame.source_ip, frame.destination_ip)))
    spread = zlib.crc32(pair.encode()) + frame.source_port + frame.destination_port
    return spread % slot_count


class Switch(Protocol):
    """The port to a device. Rules live under a key; both operations are idempotent."""

    async def install(self, key: str, rules: Sequence[Rule]) -> None:
        """Makes exactly these rules those of ``key``. Raises DeviceError."""

    async def remove(self, key: str) -> None:
        """Removes the rules of ``key`` and no others. Raises DeviceError."""


class MemorySwitch:
    """Executes rules on frames; refuses changes while ``broken`` says why."""

    def __init__(self) -> None:
        self.broken = ""
        self._rules: dict[str, tuple[Rule, ...]] = {}

    async def install(self, key: str, rules: Sequence[Rule]) -> None:
        """Raises DeviceError while broken, or for a rule that meets another key's."""
        self._must_work()
        for other, theirs in self._rules.items():
            for rule in rules if other != key else ():
                for their in theirs:
                    if collide(rule, their):
                        raise DeviceError(f"rule '{rule}' of {key} meets '{their}' of {other}")
        self._rules[key] = tuple(rules)

    async def remove(self, key: str) -> None:
        """Raises DeviceError while broken."""
        self._must_work()
        self._rules.pop(key, None)

    def rules(self) -> tuple[Rule, ...]:
        """All rules, sorted."""
        return tuple(sorted(rule for rules in self._rules.values() for rule in rules))

    def forward(self, frame: Frame) -> tuple[str, int] | None:
        """Where a frame leaves: (port, VLAN); None when no rule takes it: it is dropped."""
        for rule in self.rules():
            if (rule.in_port, rule.in_vlan) != (frame.port, frame.vlan):
                continue
            if flow_slot(frame, rule.slot_count) in rule.slots:
                return rule.out_port, rule.out_vlan
        return None

    def _must_work(self) -> None:
        if self.broken:
            raise DeviceError(self.broken)


def collide(one: Rule, other: Rule) -> bool:
    """Whether both want the same frames."""
    if (one.in_port, one.in_vlan) != (other.in_port, other.in_vlan):
        return False
    return one.slot_count != other.slot_count or bool(set(one.slots) & set(other.slots))


def _ranges(slots: Sequence[int]) -> str:
    return ",".join(str(slot) for slot in slots)
