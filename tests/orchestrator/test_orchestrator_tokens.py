"""Tokens of alternatives: read back they are the same request; garbage is refused by its field."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from grpc import StatusCode
from hypothesis import example, given, strategies as st
from networks import G, diamond

from braid.v1 import reservations_pb2 as pb
from orchestrator.bounds import Bounds
from orchestrator.explanation import BEGUN_S, LEAD_S, Alternative, AlternativeKind
from orchestrator.tokens import LENGTH_MAX, VALID_MS, read, sign
from orchestrator.validation import check_criteria
from orchestrator.wire import criteria_from_pb
from runtime.errors import RequestError
from simulations.clock import CountingIds
from substrate.model import Bend, Constraints, Criteria, Directionality, Strategy, Window
from substrate.vlans import VlanSet

NOW_S = 1_800_000_000
NOW_MS = NOW_S * 1000


@st.composite
def bends(draw: st.DrawFn, bandwidth_bps: int, duration_s: int) -> Bend | None:
    kind = draw(st.sampled_from(["rigid", "sliding", "volume"]))
    if kind == "volume":
        volume = draw(st.integers(1, bandwidth_bps * duration_s // 8))
        phases, soonest = draw(st.integers(1, 64)), draw(st.booleans())
        return Bend(volume_bytes=volume, max_phases=phases, soonest=soonest)
    if kind == "sliding" and duration_s > 1:
        least_bps = draw(st.integers(0, bandwidth_bps - 1))
        return Bend(draw(st.integers(1, duration_s - 1)), least_bps)
    return None


@st.composite
def wishes(draw: st.DrawFn) -> Criteria:
    """All that a user may ask for, between the two sites of a diamond."""
    bandwidth_bps, duration_s = draw(st.integers(8, 100 * G)), draw(st.integers(1, 10**6))
    start_s = NOW_S + draw(st.integers(0, 10**6))
    strategies = [each for each in Strategy if each is not Strategy.EQUAL_SPLITTING]
    constraints = Constraints(
        max_paths=draw(st.integers(1, 16)),
        min_share_bps=draw(st.integers(1, G)),
        max_latency_us=draw(st.none() | st.integers(1, 10**6)),
        max_latency_spread_us=draw(st.none() | st.integers(0, 10**6)),
        via_domains=draw(st.sampled_from([(), ("m1",)])),
        avoid_domains=draw(st.sampled_from([(), ("m2",)])),
        source_vlans=VlanSet.from_ranges(draw(st.sampled_from([[], [(100, 120), (150, 150)]]))),
    )
    return Criteria(
        source="west:host",
        destination="east:host",
        bandwidth_bps=bandwidth_bps,
        window=Window(start_s, start_s + duration_s),
        directionality=draw(st.sampled_from(Directionality)),
        strategy=draw(st.sampled_from(strategies)),
        constraints=constraints,
        bend=draw(bends(bandwidth_bps, duration_s)),
    )


def alternative(criteria: Criteria) -> Alternative:
    return Alternative(AlternativeKind.EARLIEST_START, criteria, "later")


@given(wishes())
def test_a_token_read_back_is_the_same_request_at_the_edge_too(criteria: Criteria) -> None:
    signed = sign(CountingIds(), NOW_MS, alternative(criteria))
    accepted = read(signed.token)
    assert signed.criteria == criteria
    assert criteria_from_pb(accepted.request) == criteria
    assert check_criteria(accepted.request, diamond(), NOW_MS, Bounds()) == criteria
    begins_ms = criteria.window.start_s * 1000
    assert accepted.expires_ms == signed.expires_ms
    late_s = BEGUN_S if criteria.bend is None else -LEAD_S
    until_ms = max(NOW_MS, begins_ms) + late_s * 1000
    assert accepted.expires_ms == max(NOW_MS, min(NOW_MS + VALID_MS, until_ms))
    assert not accepted.request.request_id


def test_each_token_is_one_of_its_own() -> None:
    ids = CountingIds()
    wish = Criteria("west:host", "east:host", G, Window(NOW_S, NOW_S + 60))
    one, other = (read(sign(ids, NOW_MS, alternative(wish)).token) for _ in range(2))
    assert one.request == other.request
    assert one.id != other.id


def test_the_longest_request_has_a_token_that_is_read() -> None:
    names = tuple(sorted(f"{number:03}{'x' * 125}" for number in range(128)))
    constraints = Constraints(
        via_domains=names,
        avoid_domains=names,
        ero=tuple(f"{name}:{name}" for name in names),
        source_vlans=VlanSet.from_ranges([(vlan, vlan) for vlan in range(2, 4094, 2)]),
    )
    wish = Criteria(names[0], names[1], G, Window(NOW_S, NOW_S + 60), constraints=constraints)
    signed = sign(CountingIds(), NOW_MS, alternative(wish))
    assert criteria_from_pb(read(signed.token).request) == wish


def encoded(**fields: Any) -> str:
    raw = pb.AcceptToken(**fields).SerializeToString()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


ANY = pb.Reservation(source="a:b")
GOOD = encoded(request=ANY, expires_ms=1, id="i")


def refused(token: str) -> RequestError:
    with pytest.raises(RequestError) as caught:
        read(token)
    return caught.value


@pytest.mark.parametrize(
    "token",
    [
        "",
        "garbage",
        "A",
        "ümlaut",
        "a b",
        "\x00",
        "=" * 7,
        GOOD + "A" * LENGTH_MAX,
        GOOD[:-3],
        encoded(expires_ms=1, id="i"),
        encoded(request=ANY, expires_ms=1),
        encoded(request=ANY, expires_ms=1, id="i" * 129),
        # What a database may not be able to keep.
        encoded(request=ANY, expires_ms=1, id="i\x00"),
        encoded(request=ANY, expires_ms=1, id="\u200b"),
    ],
)
def test_what_is_no_token_is_refused_and_named(token: str) -> None:
    error = refused(token)
    assert error.code is StatusCode.INVALID_ARGUMENT
    assert (error.field, error.possible) == ("accept", "the token of an alternative")
    assert len(error.given) <= 201


def test_what_is_just_good_is_read() -> None:
    assert read(GOOD).id == "i"
    assert read(encoded(request=ANY, id="i" * 128)).request == ANY


def refused_field(token: str) -> str | None:
    try:
        read(token)
    except RequestError as error:
        return error.field
    return None


@given(
    st.text()
    | st.text("abcXYZ019-_=+/", max_size=60)
    | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
)
@example("\ud800")
def test_whatever_is_sent_it_is_read_or_refused(token: str) -> None:
    assert refused_field(token) in (None, "accept")


@given(st.data())
def test_a_token_with_something_changed_is_read_or_refused(data: st.DataObject) -> None:
    wish = Criteria("west:host", "east:host", G, Window(NOW_S, NOW_S + 60))
    token = sign(CountingIds(), NOW_MS, alternative(wish)).token
    at = data.draw(st.integers(0, len(token) - 1))
    changed = token[:at] + data.draw(st.text("aZ09-_", max_size=2)) + token[at + 1 :]
    assert refused_field(changed) in (None, "accept")
