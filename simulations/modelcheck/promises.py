"""The invariants between what orchestrators have written and what domains hold."""

from __future__ import annotations

from collections.abc import Sequence

from simulations.modelcheck.domain import Domain, Site
from simulations.modelcheck.numbered import Numbered
from simulations.modelcheck.office import Office
from simulations.modelcheck.orchestrators import Orchestrator
from simulations.modelcheck.world import FIRST_EPOCH


class Promises:
    """Compares each orchestrator with each domain; what was compared once is not compared again."""

    def __init__(
        self,
        offices: Sequence[Numbered[Office]],
        orchestrators: Sequence[Orchestrator],
        sites: Sequence[Numbered[Site]],
        domains: Sequence[Domain],
    ) -> None:
        self._offices, self._orchestrators = offices, orchestrators
        self._sites, self._domains = sites, domains
        self._known: dict[tuple[int, int, int, int], str | None] = {}

    def problem(self, numbers: tuple[int, ...]) -> str | None:
        """What a user was told and a domain does not hold, or the like."""
        count, known = len(self._offices), self._known
        for k, office in enumerate(numbers[:count]):
            for j, site in enumerate(numbers[count:]):
                key = (k, office, j, site)
                if key not in known:
                    known[key] = self._compare(*key)
                if known[key] is not None:
                    return known[key]
        return None

    def _compare(self, k: int, office_number: int, j: int, site_number: int) -> str | None:
        """A domain that recovers is excused until it is reconciled. In one that was ever restored
        a part that was turned away may be held for a while, until it has asked."""
        party, office = self._orchestrators[k], self._offices[k].states[office_number]
        domain, site = self._domains[j], self._sites[j].states[site_number]
        for transaction_id, name in sorted(party.promised(office)):
            if name != domain.name or site.recovering:
                continue
            if not domain.holds(site, transaction_id):
                return f"{transaction_id} was told, and {name} does not hold it"
        for (transaction_id, name), stands in sorted(party.settled(office).items()):
            if name != domain.name or stands or site.epoch > FIRST_EPOCH:
                continue
            if domain.holds(site, transaction_id):
                return f"{transaction_id} is settled, and {name} holds what it has given up"
        return None
