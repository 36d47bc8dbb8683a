"""The circuit breaker of one domain: its table, and what no sequence of signals can bring about."""

from __future__ import annotations

from itertools import product

from hypothesis import given, strategies as st

from orchestrator.breaker import (
    CLOSED,
    COOLDOWN_FIRST_MS,
    COOLDOWN_MAX_MS,
    SILENCES_MAX,
    TRANSITIONS,
    Breaker,
    BreakerState,
    Move,
    Signal,
    step,
)

NOW_MS = 1_700_000_000_000
SILENCE = (Signal.NOT_OFFERED, Signal.NOT_HELD)
Steps = list[tuple[Signal, int]]

signals = st.lists(st.tuples(st.sampled_from(Signal), st.integers(0, 90_000)), max_size=60)


def after(*heard: Signal, start: Breaker = CLOSED, now_ms: int = NOW_MS) -> Breaker:
    """The breaker after these signals, all at one moment."""
    for signal in heard:
        start = step(start, signal, now_ms)
    return start


def walk(steps: Steps) -> list[tuple[Breaker, Signal, Breaker, int]]:
    """Each step of a run from a closed breaker: before, signal, after, and when."""
    breaker, now_ms, seen = CLOSED, NOW_MS, []
    for signal, wait_ms in steps:
        now_ms += wait_ms
        before, breaker = breaker, step(breaker, signal, now_ms)
        seen.append((before, signal, breaker, now_ms))
    return seen


def opened(silence: Signal) -> Breaker:
    return after(*[silence] * SILENCES_MAX)


def asked(silence: Signal) -> Breaker:
    return after(Signal.DUE, start=opened(silence), now_ms=NOW_MS + COOLDOWN_FIRST_MS)


def test_the_table_says_what_every_signal_does_in_every_state() -> None:
    found = {(state, signal) for state, row in TRANSITIONS.items() for signal in row}
    assert found == set(product(BreakerState, Signal))
    assert {move for row in TRANSITIONS.values() for move in row.values()} == set(Move)


def test_it_opens_after_three_silences_of_one_kind_in_a_row() -> None:
    for silence in SILENCE:
        assert after(*[silence] * (SILENCES_MAX - 1)).state is BreakerState.CLOSED
        breaker = opened(silence)
        assert breaker.state is BreakerState.OPEN
        assert breaker.silences == SILENCES_MAX
        assert breaker.retry_at_ms == NOW_MS + COOLDOWN_FIRST_MS
    mixed = after(Signal.NOT_OFFERED, Signal.NOT_HELD, Signal.NOT_OFFERED, Signal.NOT_HELD)
    assert mixed.state is BreakerState.CLOSED


def test_offers_forgive_silence_to_questions_but_not_to_holds() -> None:
    both = after(Signal.NOT_OFFERED, Signal.NOT_HELD)
    assert after(Signal.OFFERED, start=both) == Breaker(not_held=1)
    assert after(Signal.HELD, start=both) == CLOSED
    # An agent whose database hangs answers questions all the same.
    turns = [Signal.OFFERED, Signal.NOT_HELD] * SILENCES_MAX
    assert after(*turns).state is BreakerState.OPEN


def test_questions_asked_before_it_opened_do_not_lengthen_the_cool_down() -> None:
    breaker = opened(Signal.NOT_HELD)
    assert after(*SILENCE, start=breaker, now_ms=NOW_MS + 1000) == breaker


def test_it_is_asked_when_the_cool_down_is_over_and_not_before() -> None:
    breaker = opened(Signal.NOT_OFFERED)
    assert step(breaker, Signal.DUE, breaker.retry_at_ms - 1) == breaker
    assert step(breaker, Signal.DUE, breaker.retry_at_ms).state is BreakerState.ASKED


def test_offers_close_it_unless_it_was_silent_to_holds() -> None:
    assert after(Signal.OFFERED, start=asked(Signal.NOT_OFFERED)) == CLOSED
    ready = after(Signal.OFFERED, start=asked(Signal.NOT_HELD))
    assert ready.state is BreakerState.READY
    tried = after(Signal.TAKEN, start=ready)
    assert tried.state is BreakerState.TRIED
    assert after(Signal.OFFERED, start=tried) == tried
    assert after(Signal.RETURNED, start=tried) == ready
    assert after(Signal.HELD, start=tried) == CLOSED


def test_each_silent_try_doubles_the_cool_down_up_to_a_minute() -> None:
    for silence, tries in (
        (Signal.NOT_OFFERED, [Signal.DUE, Signal.NOT_OFFERED]),
        (Signal.NOT_HELD, [Signal.DUE, Signal.OFFERED, Signal.TAKEN, Signal.NOT_HELD]),
    ):
        breaker, cooldowns = opened(silence), []
        for _ in range(6):
            cooldowns.append(breaker.cooldown_ms // 1000)
            breaker = after(*tries, start=breaker, now_ms=breaker.retry_at_ms)
        assert cooldowns == [5, 10, 20, 40, 60, 60]
        assert breaker.silences == SILENCES_MAX + 6


@given(signals)
def test_a_domain_is_left_out_only_after_silence_and_is_always_tried_again(steps: Steps) -> None:
    row = dict.fromkeys(SILENCE, 0)
    for before, signal, breaker, now_ms in walk(steps):
        if signal in row:
            row[signal] += 1
        if signal in (Signal.HELD, Signal.CONNECTED):
            row = dict.fromkeys(row, 0)
            assert breaker == CLOSED
        elif signal is Signal.OFFERED:
            row[Signal.NOT_OFFERED] = 0
        if breaker.state is not BreakerState.CLOSED and before.state is BreakerState.CLOSED:
            assert row[signal] >= SILENCES_MAX
        if breaker.state is BreakerState.OPEN:
            assert COOLDOWN_FIRST_MS <= breaker.cooldown_ms <= COOLDOWN_MAX_MS
            assert breaker.retry_at_ms <= now_ms + COOLDOWN_MAX_MS
            due = step(breaker, Signal.DUE, breaker.retry_at_ms)
            assert due.state is BreakerState.ASKED
        if breaker.state is BreakerState.CLOSED:
            assert breaker.silences < SILENCES_MAX
            assert (breaker.cooldown_ms, breaker.retry_at_ms) == (0, 0)


@given(signals)
def test_one_negotiation_at_a_time_tries_it(steps: Steps) -> None:
    for before, signal, breaker, _ in walk(steps):
        if breaker.state is BreakerState.TRIED and before.state is not BreakerState.TRIED:
            assert (before.state, signal) == (BreakerState.READY, Signal.TAKEN)
        if before.state is BreakerState.TRIED and signal is Signal.TAKEN:
            assert breaker == before
        if breaker.state is BreakerState.READY and before.state is not BreakerState.READY:
            # Either it has just answered, or who tried it did not come to it.
            assert (before.state, signal) in (
                (BreakerState.ASKED, Signal.OFFERED),
                (BreakerState.TRIED, Signal.RETURNED),
            )


@given(signals, st.lists(st.integers(0, 200_000), min_size=1, max_size=5))
def test_it_closes_once_the_domain_answers_everything_in_time(
    steps: Steps, waits_ms: list[int]
) -> None:
    seen = walk(steps)
    breaker, now_ms = (seen[-1][2], seen[-1][3]) if seen else (CLOSED, NOW_MS)
    now_ms += COOLDOWN_MAX_MS + sum(waits_ms)
    for signal in (Signal.RETURNED, Signal.DUE, Signal.OFFERED, Signal.TAKEN, Signal.HELD):
        breaker = step(breaker, signal, now_ms)
    assert breaker == CLOSED
