"""What a run did and found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.chaos_checks import Findings
from tools.chaos_load import Ledger


@dataclass
class Report:
    """``seconds``: of the whole run. ``resolved_s``: from the last kill until nothing was open.

    ``takeovers``: how often an instance took up what a life before or another instance had left.
    """

    seed: int
    seconds: float = 0.0
    resolved_s: float | None = None
    kills: Counter[str] = field(default_factory=Counter)
    checks: int = 0
    takeovers: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    findings: Findings = field(default_factory=Findings)

    @property
    def sound(self) -> bool:
        """Nothing is wrong."""
        return not self.findings.violations and not self.findings.unresolved

    def counts(self) -> dict[str, Any]:
        """For programs."""
        heard, found = self.ledger.heard, self.findings
        return {
            "kills": self.kills.total(),
            "reservations": len(self.ledger.asked),
            **{name: heard[name] for name in ("committed", "failed", "cancelled", "modified")},
            "unchanged": heard["unchanged"],
            "checks": self.checks,
            "violations": len(found.violations),
            "unresolved": len(found.unresolved),
            "takeovers": self.takeovers,
            "resolved_s": self.resolved_s,
            "seconds": round(self.seconds, 1),
            "seed": self.seed,
            "details": [*found.violations, *found.unresolved],
        }

    def text(self) -> str:
        """For people."""
        heard, found = self.ledger.heard, self.findings
        changes = heard["modified"] + heard["unchanged"]
        resolved = "never" if self.resolved_s is None else f"after {self.resolved_s:.0f} s"
        rows = [
            ("kills", self.kills.total(), _listed(self.kills)),
            (
                "reservations",
                len(self.ledger.asked),
                f"{heard['committed']} committed, {heard['failed']} refused,"
                f" {heard['cancelled']} cancelled",
            ),
            ("changes", changes, f"{heard['modified']} in force, {heard['unchanged']} refused"),
            ("refusals", self.ledger.refusals.total(), _listed(self.ledger.refusals)),
            ("turned away", self.ledger.turned_away.total(), _listed(self.ledger.turned_away)),
            ("asked again", self.ledger.errors.total(), _listed(self.ledger.errors)),
            ("take-overs", self.takeovers, "of work that was left behind"),
            ("checks", self.checks, "of all agents while it ran"),
            ("violations", len(found.violations), ""),
            ("unresolved", len(found.unresolved), f"all resolved {resolved}"),
        ]
        lines = [f"{name:12} {count:6}  {more}".rstrip() for name, count, more in rows]
        details = [f"  {text}" for text in (*found.violations, *found.unresolved)]
        return "\n".join([f"seed {self.seed}, {self.seconds:.0f} s", *lines, *details])


def takeovers(logs: Iterable[Path]) -> int:
    """How often the logs of orchestrators tell of one."""
    return sum(_tells(line) for log in logs for line in log.read_text().splitlines())


def _tells(line: str) -> bool:
    try:
        event = json.loads(line)
    except ValueError:
        return False
    return isinstance(event, dict) and event.get("event") == "taken over"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
