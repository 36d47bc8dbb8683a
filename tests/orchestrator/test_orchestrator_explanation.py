"""What a refusal offers instead would be granted, and is told in plain words."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, strategies as st
from networks import G, diamond

from orchestrator.bent import choose
from orchestrator.explanation import (
    Alternative,
    AlternativeKind,
    Explanation,
    Least,
    explanation_of,
    kinds_later,
    later,
    less,
)
from substrate.bending import Search
from substrate.bottleneck import Bottleneck, bottlenecks
from substrate.forecast import Resource, forecast
from substrate.model import (
    Bend,
    Constraints,
    Criteria,
    Profile,
    Refusal,
    RefusalKind,
    Step,
    Strategy,
    Window,
)
from substrate.options import Supply
from substrate.routes import candidate_routes

START_S = 1_800_000_000  # 2027-01-15 08:00:00 UTC
HOUR_S = 3600
SPAN = Window(START_S, START_S + 24 * HOUR_S)
ASKED = Window(START_S, START_S + HOUR_S)
REFUSED = Refusal(RefusalKind.BANDWIDTH, "too little")
KINDS = AlternativeKind


def profile(*levels: tuple[int, int]) -> Profile:
    """Gb/s from an hour on."""
    return tuple(Step(START_S + hour * HOUR_S, bps * G) for hour, bps in levels)


def search_of(one: Profile, other: Profile, criteria: Criteria, span: Window = SPAN) -> Search:
    """Two ways from west to east with so much free."""
    topology = diamond()
    told: dict[Resource, Profile] = {
        (p.stp, q.stp): {"m1": one, "m2": other}.get(domain.name, (Step(START_S, 10**12),))
        for domain in topology.domains.values()
        for p in domain.ports
        for q in domain.ports
        if p is not q
    }
    also = (criteria.window.start_s, criteria.window.end_s)
    known = forecast(span, Supply(), told, also=also)
    routes = candidate_routes(topology, criteria.source, criteria.destination, criteria.constraints)
    return Search(criteria, routes, known, topology)


def ask(gbps: int, bend: Bend | None = None, window: Window = ASKED, **limits: int) -> Criteria:
    constraints = Constraints(**limits)  # type: ignore[arg-type]
    return Criteria("west:host", "east:host", gbps * G, window, constraints=constraints, bend=bend)


def explained(search: Search, refusal: Refusal = REFUSED) -> Explanation:
    found = [*less(search, Least()), *later(search, Least(), kinds_later(search))]
    narrow = bottlenecks(search, search.criteria.window, refusal)
    return explanation_of(narrow, found, lambda each: replace(each, token=f"t{each.kind}"))


def granted(search: Search, criteria: Criteria) -> bool:
    """As who takes the alternative would be answered."""
    if criteria.bend is None:
        return search.fits(criteria.bandwidth_bps, criteria.window)
    within = replace(
        search, criteria=criteria, forecast=search.forecast.until(criteria.window.end_s)
    )
    return not isinstance(choose(within, Least()), Refusal)


HOURS = st.lists(
    st.tuples(st.integers(1, 23), st.integers(0, 100)), max_size=4, unique_by=lambda step: step[0]
)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    return profile((0, draw(st.integers(0, 100))), *sorted(draw(HOURS)))


@st.composite
def criterias(draw: st.DrawFn) -> Criteria:
    gbps, hours = draw(st.integers(1, 200)), draw(st.integers(1, 6))
    window = Window(START_S, START_S + hours * HOUR_S)
    most_bytes = gbps * G * window.duration_s // 8
    bend = draw(
        st.none()
        | st.builds(Bend, volume_bytes=st.integers(1, most_bytes), max_phases=st.integers(1, 4))
        | st.builds(
            Bend,
            duration_s=st.integers(0, window.duration_s - 1),
            least_bps=st.just(0) | st.integers(1, gbps * G - 1),
        )
    )
    return ask(gbps, bend, window, max_paths=draw(st.integers(1, 3)))


@given(profiles(), profiles(), criterias())
def test_every_alternative_would_be_granted_and_one_changes_least(
    one: Profile, other: Profile, criteria: Criteria
) -> None:
    search = search_of(one, other, criteria)
    told = explained(search).alternatives
    for each in told:
        assert granted(search, each.criteria), each
        assert each.criteria != criteria
        assert each.token == f"t{each.kind}"
        assert " -" not in each.text
    kinds = [each.kind for each in told]
    assert len(set(kinds)) == len(kinds)
    best = [each for each in told if each.least_change]
    assert len(best) == (1 if told else 0)
    assert all(best[0].change <= each.change for each in told)
    assert all(each.change >= 0 for each in told)


def by_kind(search: Search) -> dict[AlternativeKind, Alternative]:
    return {each.kind: each for each in explained(search).alternatives}


def test_a_circuit_gets_less_or_later_or_the_same_data_at_other_rates() -> None:
    search = search_of(profile((0, 30), (1, 10), (2, 80)), profile((0, 10)), ask(80))
    told = by_kind(search)
    assert {kind: each.text for kind, each in told.items()} == {
        KINDS.LARGEST_BANDWIDTH: "40 Gb/s instead of 80 Gb/s",
        KINDS.EARLIEST_START: "from 2027-01-15 10:00:00 UTC to 2027-01-15 11:00:00 UTC: 2 h later",
        KINDS.SAME_VOLUME: "the same 36 TB by 2027-01-15 10:15:00 UTC in 3 phases of up to 80 Gb/s",
    }
    assert told[KINDS.LARGEST_BANDWIDTH].criteria == ask(40)
    later = Window(START_S + 2 * HOUR_S, START_S + 3 * HOUR_S)
    assert told[KINDS.EARLIEST_START].criteria == ask(80, window=later)
    until = Window(START_S, START_S + 2 * HOUR_S + 900)
    assert told[KINDS.SAME_VOLUME].criteria == ask(80, Bend(volume_bytes=36 * 10**12), until)
    assert [kind for kind in told if told[kind].least_change] == [KINDS.LARGEST_BANDWIDTH]


def test_a_volume_gets_less_of_it_or_longer() -> None:
    bend = Bend(volume_bytes=36 * 10**12)
    search = search_of(profile((0, 30), (1, 50)), profile((0, 10)), ask(80, bend))
    told = by_kind(search)
    assert {kind: each.text for kind, each in told.items()} == {
        KINDS.LARGEST_BANDWIDTH: "18 TB instead of 36 TB by 2027-01-15 09:00:00 UTC",
        KINDS.EARLIEST_START: "all of it by 2027-01-15 09:40:00 UTC, 40 min later",
    }
    assert told[KINDS.LARGEST_BANDWIDTH].criteria.bend == Bend(volume_bytes=18 * 10**12)
    assert told[KINDS.EARLIEST_START].criteria.window.end_s == START_S + HOUR_S + 2400


def test_one_phase_is_told_as_one() -> None:
    search = search_of(profile((0, 20)), profile((0, 0)), ask(40))
    assert by_kind(search)[KINDS.SAME_VOLUME].text.endswith(" in 1 phase of up to 20 Gb/s")


def test_a_circuit_that_slides_gets_the_most_of_any_time_in_its_window() -> None:
    wish = ask(80, Bend(duration_s=HOUR_S), Window(START_S, START_S + 3 * HOUR_S))
    search = search_of(profile((0, 30), (1, 50), (2, 20)), profile((0, 10)), wish)
    told = by_kind(search)[KINDS.LARGEST_BANDWIDTH]
    assert told.text == (
        "60 Gb/s instead of 80 Gb/s, from 2027-01-15 09:00:00 UTC to 2027-01-15 10:00:00 UTC"
    )


def test_who_takes_less_begins_as_soon_as_that_is_free_and_gets_the_most_then() -> None:
    told = profile((0, 10), (1, 55), (2, 100)), profile((0, 0))
    range_ = Bend(least_bps=50 * G)
    (later,) = (
        each
        for each in explained(search_of(*told, ask(80, range_))).alternatives
        if each.kind is KINDS.EARLIEST_START
    )
    hour = Window(START_S + HOUR_S, START_S + 2 * HOUR_S)
    assert later.criteria == ask(55, window=hour)
    assert later.text.endswith(": 1 h later, with 55 Gb/s")
    # More than all links carry is never free, but what serves is.
    (later,) = (
        each
        for each in explained(search_of(*told, ask(300, range_))).alternatives
        if each.kind is KINDS.EARLIEST_START
    )
    assert later.criteria == ask(55, window=hour)


def test_bandwidths_are_whole_megabits_unless_shares_want_more() -> None:
    odd: Profile = (Step(START_S, 1_500_001),)
    found = by_kind(search_of(odd, odd, ask(1)))[KINDS.LARGEST_BANDWIDTH]
    assert found.criteria.bandwidth_bps == 3_000_000
    found = by_kind(search_of(odd, odd, ask(1, min_share_bps=1_500_001)))[KINDS.LARGEST_BANDWIDTH]
    assert found.criteria.bandwidth_bps == 3_000_002


def test_what_stands_in_the_way_is_told_beside_alternatives() -> None:
    search = search_of(profile((0, 30)), profile((0, 10)), ask(80))
    assert explained(search).bottlenecks == (
        Bottleneck("m1", "m1:west to m1:east", 30 * G, ASKED),
        Bottleneck("m2", "m2:west to m2:east", 10 * G, ASKED),
    )


def test_amounts_that_are_nearly_the_same_are_told_apart() -> None:
    search = search_of((Step(START_S, 79_990_000_000),), profile((0, 0)), ask(80))
    assert by_kind(search)[KINDS.LARGEST_BANDWIDTH].text == "79.99 Gb/s instead of 80 Gb/s"
    search = search_of((Step(START_S, 79_999_990_000_000 // 1000),), profile((0, 0)), ask(80))
    assert by_kind(search)[KINDS.LARGEST_BANDWIDTH].text == "79.999 Gb/s instead of 80 Gb/s"


def test_no_other_time_is_looked_for_where_the_links_alone_are_too_narrow() -> None:
    narrow, wide = search_of(profile((0, 0)), profile((0, 0)), ask(210)), ask(200)
    assert kinds_later(narrow) == {KINDS.SAME_VOLUME}
    assert kinds_later(replace(narrow, criteria=wide)) == {KINDS.SAME_VOLUME, KINDS.EARLIEST_START}


def test_of_equal_parts_no_alternative_is_told() -> None:
    wish = replace(ask(80), strategy=Strategy.EQUAL_SPLITTING)
    told = explained(search_of(profile((0, 30)), profile((0, 10)), wish))
    assert told.bottlenecks
    assert not told.alternatives


def test_of_a_volume_too_large_to_count_or_of_nothing_there_is_no_alternative() -> None:
    few = replace(ask(1, window=Window(START_S, START_S + 1)), bandwidth_bps=7)
    one: Profile = (Step(START_S, 1),)
    assert KINDS.SAME_VOLUME not in by_kind(search_of(one, one, few))


def test_when_the_window_is_over_there_is_no_alternative() -> None:
    span = Window(ASKED.end_s + 5, SPAN.end_s)
    search = search_of(profile((0, 30)), profile((0, 10)), ask(80), span)
    assert not less(search, Least())
    assert not kinds_later(search)
