"""What of a graph would fit where in a substrate, each node for itself: no mapping yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rdl.aggregation import is_neighbour
from rdl.attributes import PIP
from rdl.errors import RdlError
from rdl.matching import misfits
from rdl.model import Graph, Words
from rdl.relations import choices, decide, open_relations, settle
from rdl.vocabulary import STANDARD, Vocabulary


@dataclass(frozen=True, slots=True)
class Fit:
    """``fitting``: for each node the elements that would do; ``misfitting``: for each without any,
    why not, by element. ``settled``: what relations could agree on; ``impossible``: why not.
    """

    fitting: Mapping[str, Words]
    misfitting: Mapping[str, Mapping[str, tuple[str, ...]]]
    settled: Mapping[str, Mapping[str, str]]
    impossible: Mapping[str, str]

    @property
    def possible(self) -> bool:
        """Whether nothing rules the graph out, so far."""
        return not self.misfitting and not self.impossible


def fit(graph: Graph, substrate: Graph, vocabulary: Vocabulary = STANDARD) -> Fit:
    """Where each node of the overlay ``graph`` could be in ``substrate``, were it alone there.

    Neighbours are left out. Relations that are undecided are settled one after the other as if
    ``substrate`` were all there is; not those with elements elsewhere, and not on aggregates, which
    do not tell their features.
    """
    fitting, misfitting = {}, {}
    offers = [node for node in substrate.nodes if not is_neighbour(node)]
    told = all(node.attribute != PIP for node in offers)
    for node in graph.nodes:
        if is_neighbour(node):
            continue
        why = {
            each.id: tuple(map(str, misfits(node, each, substrate, vocabulary))) for each in offers
        }
        fitting[node.id] = tuple(name for name, reasons in why.items() if not reasons)
        if not fitting[node.id]:
            misfitting[node.id] = why
    settled, impossible = {}, {}
    for relation in open_relations(graph):
        if relation.elsewhere or not told:
            continue
        try:
            values = settle(relation, choices(graph, relation, substrate, vocabulary))
        except RdlError as error:
            impossible[relation.id] = error.mistakes[0].reason
            continue
        settled[relation.id] = values
        graph = decide(graph, relation.id, values, "")
    return Fit(fitting, misfitting, settled, impossible)
