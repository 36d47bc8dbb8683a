"""What is said to a request: an embedding and how good it is, or what is short."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from embedding.model import Embedding

ROUNDING = 1e-6


class Status(enum.Enum):
    """``OPTIMAL``: within the gap that was asked for, in the scope of the proof; ``FEASIBLE``: not
    known to be; ``UNKNOWN``: nothing was found in the time given, and nothing proves that there is
    nothing."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    UNKNOWN = "unknown"


class ProofScope(enum.Enum):
    """Of what the bound holds: all embeddings, or those on the hosts that were picked."""

    WHOLE = "whole"
    PRUNED = "pruned"


@dataclass(frozen=True, slots=True)
class Shortage:
    """``short`` of ``resource`` at ``where`` (a host, a link, "all hosts"), as ``why`` says.

    ``resource``: that of a host, "bandwidth", "hosts" (VNodes may run on no more of them), or
    "links" (that would join hosts). ``asked``: what would be taken there in all; 0: it is no
    amount. ``who``: the VNodes of the request that want it, of a link its VLinks; empty: all.
    ``at``: the hosts that would have to have it together; empty: ``where`` says it.
    """

    resource: str
    where: str
    short: float
    why: str
    asked: float = 0.0
    who: tuple[str, ...] = ()
    at: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """``objective`` is infinite without an embedding; ``bound``: nothing in ``proof_scope`` costs
    less.

    ``stage``: what found the embedding: ``first``, ``search`` or ``program``.
    """

    status: Status
    embedding: Embedding | None
    objective: float
    bound: float
    proof_scope: ProofScope
    stage: str
    shortages: tuple[Shortage, ...] = ()

    @property
    def gap(self) -> float:
        """How much less may be possible, as a share of the objective; infinite without one."""
        return gap_of(self.objective, self.bound)

    @property
    def proven(self) -> bool:
        """Whether no embedding at all is better by more than the gap that was asked for."""
        return self.status is Status.OPTIMAL and self.proof_scope is ProofScope.WHOLE


def closes(gap: float, wanted: float) -> bool:
    """Whether a gap is as small as was wanted, but for what arithmetic may go wrong by.

    Bounds are lowered by as much, to be sure.
    """
    return gap <= wanted + 2 * ROUNDING


def gap_of(objective: float, bound: float) -> float:
    """(objective - bound) / objective; 0 where nothing is left to gain."""
    if math.isinf(objective):
        return math.inf
    return max(0.0, objective - bound) / objective if objective > 0 else 0.0
