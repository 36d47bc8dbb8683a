"""What a provider's refusal tells others, and what its operator alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog
from agent_world import refused
from cloud_world import CloudWorld, cloud_config, cloud_prep, graph

from agents.backends import open_backend
from agents.backends.base import Claim, Free, Partial, Placement
from agents.backends.cloud import ProviderBackend
from agents.book import Book
from agents.discretion import discreet, without_inside
from agents.rows import refusal_from_bytes, refusal_to_bytes
from protocol.codec_values import refusal_from_pb, refusal_to_pb
from runtime.errors import RequestError
from substrate.calendar import Direction, Resource
from substrate.model import Domain, Port, Refusal, RefusalKind, Shortage
from substrate.values import replace
from substrate.vlans import VlanSet

EAST = "berlin:east"


@asynccontextmanager
async def started(hosts: int = 3) -> AsyncIterator[CloudWorld]:
    made = CloudWorld(hosts=hosts)
    await made.start()
    try:
        yield made
    finally:
        await made.end()


def test_what_is_for_the_operator_is_neither_sent_nor_stored() -> None:
    refusal = Refusal(
        RefusalKind.RESOURCE,
        "1 core of /resource/cpu short for a",
        "berlin",
        "/resource/cpu",
        short=1000,
        asked=9000,
        elements=("a",),
        shortages=(Shortage("/resource/cpu", "", 1000, 9000, ("a",)),),
        inside="1 core of /resource/cpu short at sn111",
    )
    assert b"sn111" not in refusal_to_pb(refusal).SerializeToString()
    stored = refusal_to_bytes(refusal)
    assert stored is not None
    assert b"sn111" not in stored
    assert refusal_from_bytes(stored) == refusal_from_pb(refusal_to_pb(refusal)) == refusal


def test_a_refusal_that_was_stored_before_amounts_were_told_is_read() -> None:
    stored = b"\x08\x01\x12\x06berlin\x1a\x04sn11\x22\x02no"
    before = Refusal(RefusalKind.BANDWIDTH, "no", "berlin", "sn11")
    assert refusal_from_bytes(stored) == before
    assert refusal_to_bytes(before) == stored


def domain(*stps: str) -> Domain:
    ports = tuple(Port(stp, 10**9, VlanSet()) for stp in stps)
    return Domain("berlin", False, "pip", ports)


@pytest.mark.parametrize("kind", [RefusalKind.POLICY, RefusalKind.LABEL, RefusalKind.TOPOLOGY])
def test_a_blind_domain_names_its_ports_and_nothing_else(kind: RefusalKind) -> None:
    at_port = Refusal(kind, "not there", resource=EAST, available_bps=5, short=5, asked=7)
    told = discreet(at_port, domain(EAST))
    assert told == Refusal(kind, "not there", resource=EAST)
    short = (Shortage("/resource/cpu", "", 5, 7, ("a",)),)
    assert discreet(replace(at_port, shortages=short), domain(EAST)) == told
    inner = replace(at_port, resource="sn111", elements=("a",), where="somewhere", shortages=short)
    assert discreet(inner, domain(EAST)) == Refusal(kind, "berlin cannot carry it")


def test_what_is_claimed_of_the_inside_is_not_named_and_a_port_is() -> None:
    at_port = Refusal(RefusalKind.BANDWIDTH, "5 bit/s free", resource=EAST, available_bps=5)
    assert without_inside(at_port, domain(EAST)) == at_port
    told = without_inside(replace(at_port, resource="sn111/resource/cpu"), domain(EAST))
    assert told == Refusal(RefusalKind.BANDWIDTH, "berlin has no room for it")
    assert told.inside == "5 bit/s free"


class Greedy(ProviderBackend):
    """Claims more of a host than there is."""

    def place_graph(self, partial: Partial, free: Free) -> Placement | Refusal:
        cpu = Resource("h1/resource/cpu", Direction.IN)
        return Placement((Claim(cpu, 10**9),), ())


def test_a_backend_that_claims_too_much_of_a_host_does_not_name_it_to_others() -> None:
    book = Book(open_backend(cloud_config()))
    book.backend.__class__ = Greedy
    outcome = book.admit(cloud_prep(graph({"a": 1})))
    assert isinstance(outcome, Refusal)
    assert (outcome.reason, outcome.resource) == ("berlin has no room for it", "")
    assert "h1/resource/cpu" in outcome.inside


async def test_the_operator_reads_in_the_log_which_host_comes_nearest() -> None:
    async with started() as w:
        with structlog.testing.capture_logs() as logs:
            answer = await w.hold(cloud_prep(graph({"a": 9})))
        assert refused(answer) is RefusalKind.RESOURCE
        (said,) = [each for each in logs if each["event"] == "refused"]
        assert said["reason"] == "1 core of /resource/cpu short at h1"
        assert said["part"] == "t1/p1"
        assert "h1" not in str(answer)


async def test_the_operator_is_told_what_a_host_lacks_for_a_move() -> None:
    async with started(hosts=2) as w:
        await w.committed(cloud_prep(graph({"a": 6})))
        (source,) = {vnode.host for vnode in w.mapped().vnodes}
        other = "h1" if source == "h2" else "h2"
        await w.committed(cloud_prep(graph({"x": 6}), "t2", reservation_id="r2"))
        with pytest.raises(RequestError) as caught:
            await w.clouds.migrate("r1", "a", other)
        assert caught.value.possible.startswith("a host with room: ")
        assert other in caught.value.possible or "there is none for a" in caught.value.possible
