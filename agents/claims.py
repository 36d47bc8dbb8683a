"""What orchestrators claim of a domain that recovers, collected page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from agents.peers import Sender
from agents.values import Key
from protocol.messages import Claim, Claims

CLAIMS_LIMIT = 1_000_000
SNAPSHOTS_LIMIT = 256


class TooManyClaimsError(Exception):
    """More than an agent keeps; the text says which bound."""


@dataclass(slots=True)
class _Snapshot:
    claims_id: str
    pages: int
    found: dict[int, tuple[Claim, ...]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return len(self.found) == self.pages

    @property
    def size(self) -> int:
        """Claims in it; an empty page counts as one."""
        return sum(max(1, len(claims)) for claims in self.found.values())


class Collected:
    """The newest complete snapshot of each orchestrator, and an incomplete one per instance.

    At most CLAIMS_LIMIT claims and SNAPSHOTS_LIMIT snapshots of either kind.
    """

    def __init__(self) -> None:
        self._complete: dict[str, tuple[Claim, ...]] = {}
        self._growing: dict[Sender, _Snapshot] = {}
        self._size = 0
        self.senders: dict[Sender, str] = {}
        """Who has sent a complete snapshot, and the ``claims_id`` of each one's newest."""

    def add(self, sender: Sender, page: Claims) -> bool:
        """Takes a page in; True when it completes a snapshot. Raises TooManyClaimsError.

        A page of another snapshot replaces an incomplete one of the same instance.
        """
        snapshot = self._growing.get(sender)
        if snapshot is None or (snapshot.claims_id, snapshot.pages) != (page.claims_id, page.pages):
            self._drop(sender)
            if len(self._growing) >= SNAPSHOTS_LIMIT:
                self._drop(next(iter(self._growing)))
            snapshot = self._growing[sender] = _Snapshot(page.claims_id, page.pages)
        if page.page not in snapshot.found:
            size = max(1, len(page.claims))
            if self._size + size > CLAIMS_LIMIT:
                self._drop(sender)
                raise TooManyClaimsError(f"more than {CLAIMS_LIMIT} claims at once")
            snapshot.found[page.page] = page.claims
            self._size += size
        if snapshot.complete:
            self._finish(sender, snapshot)
        return snapshot.complete

    def orchestrators(self) -> set[str]:
        """Whose claims are complete."""
        return set(self._complete)

    def has_begun(self, sender: Sender) -> bool:
        """Whether an instance has sent any page, or its orchestrator all."""
        return sender in self._growing or sender.orchestrator_id in self._complete

    def claims(self) -> Iterator[Claim]:
        """What they claim, by orchestrator."""
        for orchestrator_id in sorted(self._complete):
            yield from self._complete[orchestrator_id]

    def _finish(self, sender: Sender, snapshot: _Snapshot) -> None:
        name = sender.orchestrator_id
        known = name in self._complete
        if not known and len(self._complete) >= SNAPSHOTS_LIMIT:
            self._drop(sender)
            raise TooManyClaimsError(f"more than {SNAPSHOTS_LIMIT} orchestrators")
        self._size -= snapshot.size + (max(1, len(self._complete[name])) if known else 0)
        del self._growing[sender]
        pages = (snapshot.found[number] for number in range(snapshot.pages))
        self._complete[name] = tuple(claim for page in pages for claim in page)
        self._size += max(1, len(self._complete[name]))
        self.senders[sender] = snapshot.claims_id
        self._bound_senders()

    def _bound_senders(self) -> None:
        while len(self.senders) > SNAPSHOTS_LIMIT:
            del self.senders[next(iter(self.senders))]

    def _drop(self, sender: Sender) -> None:
        snapshot = self._growing.pop(sender, None)
        if snapshot is not None:
            self._size -= snapshot.size


def sort_out(
    claims: Iterable[Claim], owner_of: Callable[[Key], str | None]
) -> tuple[tuple[Claim, ...], tuple[Claim, ...]]:
    """Claims that count, and those of parts that are another orchestrator's.

    ``owner_of``: whose part is stored under a key; None: nobody's, then it is the first claimant's.
    """
    good: list[Claim] = []
    wrong: list[Claim] = []
    claimants: dict[Key, str] = {}
    for claim in claims:
        key = (claim.prep.transaction_id, claim.prep.part_id)
        mine = claim.prep.orchestrator_id
        owner = owner_of(key) or claimants.setdefault(key, mine)
        (good if owner == mine else wrong).append(claim)
    return tuple(good), tuple(wrong)
