"""Relations that are left to this provider: what each could be, the best liked first.

A value that all elements could have may still be one for which there is no room. So of what must be
the same every common value comes in turn, of what must differ every way to hand values out, and
whoever maps stops at the first that can be mapped.
"""

from __future__ import annotations

from collections.abc import Iterator

from cloudnets.partials import Asked, Refused, listed
from cloudnets.underlay import Underlay
from rdl.errors import RdlError
from rdl.model import Graph, NetworkElement, Relation, RelationKind, by_id
from rdl.relations import conflicts, decide, open_relations, settle, words_of
from substrate.model import RefusalKind

OTHERS_MAX = 200
"""Values beside the best liked that are tried, over all relations."""


def decisions(underlay: Underlay, asked: Asked) -> Iterator[Graph]:
    """The graph with all relations about features decided, one way after the other.

    Of many relations with many values not every way comes: :data:`OTHERS_MAX`. Raises Refused where
    no host, or no value, will do; only when nothing has come before.
    """
    vnodes = {vnode.id for vnode in asked.vnodes}
    yield from _Decisions(underlay, vnodes, asked.by).of(asked.graph)


class _Decisions:
    def __init__(self, underlay: Underlay, vnodes: set[str], by: str) -> None:
        self._underlay, self._vnodes, self._by = underlay, vnodes, by
        self._others = OTHERS_MAX

    def of(self, graph: Graph) -> Iterator[Graph]:
        """See :func:`decisions`."""
        relation = next(iter(open_relations(graph)), None)
        if relation is None:
            yield graph
            return
        strange = sorted(set(relation.elements) - self._vnodes)
        if strange:
            reason = f"{strange[0]} is no VNode here; possible: relations of VNodes"
            reason = f"relations.{relation.id}: {reason}"
            raise Refused(RefusalKind.FEATURE, reason, relation.of, elements=relation.elements)
        elements: dict[str, NetworkElement] = by_id(graph.elements)
        told = {n: _liked(self._underlay, elements[n], relation.of) for n in relation.elements}
        found, first = False, None
        for values in self._values(relation, told):
            try:
                for decided in self.of(_decide(graph, relation, values, self._by)):
                    found = True
                    yield decided
            except (RdlError, Refused) as error:
                first = first or error
        if not found and first is not None:
            raise first if isinstance(first, Refused) else _refused(first, relation)

    def _values(self, relation: Relation, told: dict[str, list[str]]) -> Iterator[dict[str, str]]:
        """The best liked first, each once."""
        open_ = [told]
        for left in open_:
            if left is not told:
                self._others -= 1
            if self._others < 0:
                return
            try:
                values = settle(relation, left)
            except RdlError as error:
                if left is told:
                    raise _refused(error, relation) from error
                continue
            yield values
            if relation.kind is RelationKind.DIFFERENT:
                open_ += _others(left, values)
            else:
                picked = next(iter(values.values()))
                open_.append({n: [w for w in words if w != picked] for n, words in left.items()})


def _decide(graph: Graph, relation: Relation, values: dict[str, str], by: str) -> Graph:
    """Raises RdlError where another relation of the same elements is then not fulfilled."""
    decided = decide(graph, relation.id, values, by)
    broken = [*conflicts(decided)]
    if broken:
        raise RdlError(broken)
    return decided


def _others(told: dict[str, list[str]], values: dict[str, str]) -> Iterator[dict[str, list[str]]]:
    """What is left without these values: one has another, and those before it have theirs."""
    names = list(told)
    for n, name in enumerate(names):
        rest = [word for word in told[name] if word != values[name]]
        if rest:
            yield told | {before: [values[before]] for before in names[:n]} | {name: rest}


def _liked(underlay: Underlay, vnode: NetworkElement, feature: str) -> list[str]:
    """The words that a VNode could have, those of most hosts first."""
    counted = underlay.words(underlay.hosts_for(vnode), feature)
    said = words_of(vnode, feature)
    possible = [word for word in counted if said is None or word in said]
    return sorted(possible, key=lambda word: (-counted[word], word))


def _refused(error: RdlError, relation: Relation) -> Refused:
    """Which words hosts have is not told."""
    inside = str(error.mistakes[0])
    kind = relation.kind.value
    reason = (
        f"relations.{relation.id}: {relation.of} cannot be {kind} for {listed(relation.elements)}"
    )
    return Refused(
        RefusalKind.FEATURE, reason, relation.of, elements=relation.elements, inside=inside
    )
