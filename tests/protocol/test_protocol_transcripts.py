"""Golden transcripts: whole negotiations as text, replayed through the shipped step functions.

``BRAID_WRITE_TRANSCRIPTS=1`` writes them anew; read the difference before you commit it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from parties import Coordinator, Domain, part

from protocol.coordinator import Decide, Drop, Event, Outbound, Prepare, ReleaseAll, Retry
from protocol.messages import Inquire, ReservationPrep, ReservationResp
from protocol.participant import Rules

FOLDER = Path(__file__).parent / "transcripts"


class Story:
    """Runs one negotiation and writes down what happens, a line each."""

    def __init__(self, **domains: Domain) -> None:
        self.domains = domains
        self.orchestrator = Coordinator()
        self.orchestrator.begin("tx")
        self.lines: list[str] = []
        self.now_ms = 0

    def say(self, text: str) -> None:
        """A remark."""
        self.lines.append(f"# {text}")

    def do(self, event: Event, why: str, *, lost: bool = False, tx: str = "tx") -> None:
        """A step of the orchestrator; its messages arrive and are answered, unless ``lost``."""
        self.lines.append(f"orchestrator        {why}")
        for item in self.orchestrator.apply(tx, event, self.now_ms):
            self.send(item, lost=lost)
        self.state(tx)

    def send(self, item: Outbound, *, lost: bool = False, answer_lost: bool = False) -> None:
        """A message to a domain, and the answer."""
        word = "  (lost)" if lost else ""
        self.lines.append(f"orchestrator -> {item.domain:<3} {_text(item.message)}{word}")
        if lost:
            return
        answer = self.domains[item.domain].hear(item.message, self.now_ms)
        word = "  (lost)" if answer_lost else ""
        self.lines.append(f"orchestrator <- {item.domain:<3} {_text(answer)}{word}")
        if not answer_lost:
            for more in self.orchestrator.hear(item.domain, answer, self.now_ms):
                self.send(more)

    def later(self, seconds: int) -> None:
        """Time passes in the domains; who wants to ask, asks and is answered."""
        self.now_ms += seconds * 1000
        self.lines.append(f"                    {seconds} s pass")
        for name, domain in self.domains.items():
            for inquire in domain.tick(self.now_ms):
                self.lines.append(f"orchestrator <- {name:<3} {_text(inquire)}")
                for item in self.orchestrator.hear(name, inquire, self.now_ms):
                    self.send(item)

    def state(self, tx: str = "tx") -> None:
        """What the orchestrator knows."""
        state = self.orchestrator.states[tx]
        parts = ", ".join(f"{p.domain} {p.status.name}" for p in state.parts)
        told = ", the user hears success" if state.told_success else ""
        self.lines.append(f"                    = {state.decision.name}: {parts}{told}")

    def text(self) -> str:
        held = {
            name: ", ".join(f"{tx}/{part}" for tx, part in domain.holding())
            for name, domain in self.domains.items()
        }
        ends = [f"{name} holds {parts or 'nothing'}" for name, parts in held.items()]
        return "\n".join([*self.lines, "# in the end: " + "; ".join(ends)]) + "\n"


def _text(message: object) -> str:
    name = type(message).__name__
    if isinstance(message, ReservationPrep):
        s = message.segments[0]
        return f"{name} {message.part_id}: {s.ingress_stp} to {s.egress_stp} VLAN {s.ingress_vlan}"
    if isinstance(message, ReservationResp):
        word = "yes" if message.ok else f"NO ({message.refusal.reason if message.refusal else ''})"
        return f"{name} {message.part_id} {message.phase.name}: {word}"
    if isinstance(message, Inquire):
        return f"{name} {message.part_id}: what became of it?"
    return f"{name} {message.part_id}"  # type: ignore[attr-defined]


def both() -> Prepare:
    return Prepare((part("m1", "p1"), part("m2", "p2")))


def success() -> Story:
    story = Story(m1=Domain("m1"), m2=Domain("m2"))
    story.say("Two domains hold their parts, and both are committed.")
    story.do(both(), "asks both to hold")
    story.do(Decide(commit=True), "writes COMMIT")
    return story


def refusal_and_another_plan() -> Story:
    story = Story(m1=Domain("m1"), m2=Domain("m2", full=True), m3=Domain("m3"))
    story.say("m2 has no room. The part of m1 is kept, m3 takes the place of m2.")
    story.do(both(), "asks m1 and m2 to hold")
    story.do(Drop(("p2",)), "has another plan: m1 as before, m3; does without m2")
    story.do(Prepare((part("m3", "p3"),)), "asks m3 to hold")
    story.do(Decide(commit=True), "writes COMMIT")
    return story


def refusal_and_no_plan() -> Story:
    story = Story(m1=Domain("m1"), m2=Domain("m2", full=True))
    story.say("m2 has no room, and there is no other plan: m1 gives its part back.")
    story.do(both(), "asks both to hold")
    story.do(Decide(commit=False), "writes ABORT")
    return story


def dropped_part() -> Story:
    story = Story(m1=Domain("m1"), m2=Domain("m2"))
    story.say("A plan that does without m1: its part is aborted before the decision.")
    story.do(both(), "asks both to hold")
    story.do(Drop(("p1",)), "does without m1")
    story.do(Decide(commit=True), "writes COMMIT")
    return story


def abort_overtakes_prepare() -> Story:
    story = Story(m1=Domain("m1"))
    story.say("The Prep is late: the Abort comes first and leaves a tombstone that refuses it.")
    story.do(Prepare((part("m1", "p1"),)), "asks m1 to hold", lost=True)
    story.do(Decide(commit=False), "gives up, writes ABORT")
    late = story.orchestrator.states["tx"].parts[0]
    story.send(Outbound("m1", late.prep))
    return story


def lost_commit() -> Story:
    story = Story(m1=Domain("m1"))
    story.say("The Commit is lost. m1 never drops what it promised: it asks.")
    story.do(Prepare((part("m1", "p1"),)), "asks m1 to hold")
    story.do(Decide(commit=True), "writes COMMIT", lost=True)
    story.later(5)
    story.state()
    return story


def crash_before_the_decision() -> Story:
    story = Story(m1=Domain("m1"))
    story.say("The orchestrator dies undecided. On its return it writes ABORT first, then speaks.")
    story.do(Prepare((part("m1", "p1"),)), "asks m1 to hold")
    story.lines.append("orchestrator        crashes and returns")
    for item in story.orchestrator.recover(story.now_ms):
        story.send(item)
    story.state()
    return story


def doubled_messages() -> Story:
    story = Story(m1=Domain("m1"))
    story.say("Every message twice: the second one changes nothing and is answered the same.")
    story.do(Prepare((part("m1", "p1"),)), "asks m1 to hold")
    story.send(Outbound("m1", story.orchestrator.states["tx"].parts[0].prep))
    for item in story.orchestrator.apply("tx", Decide(commit=True), 0):
        story.send(item)
        story.send(item)
    story.state()
    return story


def expiring_domain() -> Story:
    story = Story(m1=Domain("m1"), m2=Domain("m2", Rules(hold_timeout_s=20)))
    story.say("m2 insists on expiry, and the Commit reaches it too late: success is never told,")
    story.say("and m1 gives back what it had committed.")
    parts = (part("m1", "p1"), part("m2", "p2", expires=True))
    story.do(Prepare(parts), "asks both to hold")
    story.do(Decide(commit=True), "writes COMMIT", lost=True)
    story.later(30)
    story.do(Retry(), "sends again what was not answered")
    return story


def commit_nobody_prepared() -> Story:
    story = Story(m1=Domain("m1"))
    story.say("m1 was restored from a copy that does not know the part: it says no, not yes.")
    story.do(Prepare((part("m1", "p1"),)), "asks m1 to hold")
    story.domains["m1"].parts.clear()
    story.do(Decide(commit=True), "writes COMMIT")
    return story


def cancel_while_away() -> Story:
    story = Story(m1=Domain("m1"), m2=Domain("m2"))
    story.say("The user cancels while m2 is away: m2 is told when it returns.")
    story.do(both(), "asks both to hold")
    story.do(Decide(commit=True), "writes COMMIT")
    m2 = story.domains.pop("m2")
    story.lines.append("orchestrator        is asked to cancel")
    for item in story.orchestrator.apply("tx", ReleaseAll(), story.now_ms):
        story.send(item, lost=item.domain == "m2")
    story.domains["m2"] = m2
    story.now_ms += 60_000
    story.do(Retry(), "sees m2 return")
    return story


def modify() -> Story:
    story = Story(m1=Domain("m1"))
    story.say("A Modify: the new version is a transaction of its own, an alternative to the old.")
    story.do(Prepare((part("m1", "p1"),)), "asks m1 to hold version 1")
    story.do(Decide(commit=True), "writes COMMIT")
    story.orchestrator.begin("tx2")
    new = part("m1", "p2", transaction_id="tx2")
    story.do(Prepare((new,)), "asks m1 to hold version 2", tx="tx2")
    story.do(Decide(commit=True), "writes COMMIT of version 2", tx="tx2")
    story.do(ReleaseAll(), "gives version 1 back")
    return story


STORIES: list[Callable[[], Story]] = [
    success,
    refusal_and_another_plan,
    refusal_and_no_plan,
    dropped_part,
    abort_overtakes_prepare,
    lost_commit,
    crash_before_the_decision,
    doubled_messages,
    expiring_domain,
    commit_nobody_prepared,
    cancel_while_away,
    modify,
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_the_protocol_plays_as_written_down(story: Callable[[], Story]) -> None:
    path = FOLDER / f"{story.__name__}.txt"
    played = story().text()
    if os.environ.get("BRAID_WRITE_TRANSCRIPTS"):
        path.write_text(played)
    assert played == path.read_text()


def test_no_transcript_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == {story.__name__ for story in STORIES}
