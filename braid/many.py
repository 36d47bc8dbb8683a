"""Many requests over one stream: what is asked, and what is not answered yet. Without any I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import grpc

from braid.errors import BraidError, Unreachable, error_of_status
from braid.requests import Circuit, circuit_of
from braid.retries import RETRYABLE, pause_before, repeats_after_s
from braid.v1 import reservations_pb2 as pb

FRAME_REQUESTS = 512
FRAME_BYTES = 2 << 20
REQUEST_BYTES = 3 << 19
"""Most of one request, more than any CloudNet has. A frame that is too large would end the
stream, with all that is on it."""
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
BREAKS = RETRYABLE | {grpc.StatusCode.INTERNAL}
"""INTERNAL is what grpc makes of a stream that ends while a frame is being sent."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request: a record (COMMITTED or FAILED), or an error; one of the two."""

    request_id: str
    record: pb.ReservationRecord | None = None
    error: BraidError | None = None

    def circuit(self) -> Circuit:
        """The circuit. Raises CircuitRefused, or the error."""
        if self.record is None:
            raise self.error or BraidError("there is no outcome")
        return circuit_of(self.record)


class Asking:
    """Requests in the order given, of which at most ``in_flight`` await their outcome.

    Drive it: send ``frame()`` whenever there is one, ``hear()`` every response, and when the stream
    ends too early ``broken()`` and begin anew. Times are seconds of any steady clock. Raises
    ValueError for a request without an id, with one of another that has no outcome yet, or of more
    than REQUEST_BYTES.
    """

    def __init__(self, reservations: Iterable[pb.Reservation], in_flight: int) -> None:
        if in_flight < 1:
            raise ValueError(f"in_flight: given {in_flight}, possible: 1 or more")
        self._rest = iter(reservations)
        self._in_flight = in_flight
        self._next: pb.Reservation | None = None
        self._waiting: dict[str, pb.Reservation] = {}
        self._again: list[tuple[float, pb.Reservation]] = []
        self._attempts: dict[str, int] = {}
        self._open: set[str] = set()
        self._breaks = 0
        self.leaves = False
        """Whether to go on with a new stream, at another instance."""
        self._look()

    @property
    def over(self) -> bool:
        """Whether every request has its outcome."""
        return not (self._waiting or self._again or self._next)

    @property
    def waits(self) -> bool:
        """Whether outcomes are to come on this stream."""
        return bool(self._waiting) and not self.leaves

    def idle_s(self, now_s: float) -> float:
        """How long there is nothing to send, when nothing is to come either."""
        if self._may_take_next() or not self._again:
            return 0.0
        return max(0.0, min(due_s for due_s, _ in self._again) - now_s)

    def frame(self, now_s: float) -> pb.ReserveManyRequest | None:
        """What is to be sent now; None: nothing."""
        frame, size = pb.ReserveManyRequest(), 0
        for reservation in self._due(now_s):
            size += reservation.ByteSize()
            frame.reservations.append(reservation)
            self._waiting[reservation.request_id] = reservation
            if len(frame.reservations) == FRAME_REQUESTS or size > FRAME_BYTES - REQUEST_BYTES:
                break
        return frame if frame.reservations else None

    def hear(self, response: pb.ReserveManyResponse, now_s: float) -> Iterator[Outcome]:
        """The outcomes that stand; what may be asked again is kept for that."""
        for outcome in response.outcomes:
            asked = self._waiting.pop(outcome.request_id, None)
            if asked is None:
                continue
            if outcome.WhichOneof("outcome") == "record":
                self._breaks = 0
                yield self._ended(Outcome(outcome.request_id, record=outcome.record))
                continue
            error = error_of_status(outcome.status, asked)
            # This instance takes nothing new: another one does.
            self.leaves = self.leaves or error.code is UNAVAILABLE
            attempt = self._attempts[outcome.request_id] = 1 + self._attempts.get(
                outcome.request_id, 0
            )
            pause_s = repeats_after_s(attempt, error)
            if pause_s is None:
                yield self._ended(Outcome(outcome.request_id, error=error))
            else:
                self._again.append((now_s + pause_s, asked))

    def broken(self, error: grpc.RpcError | None, now_s: float) -> float:
        """Seconds until a new stream should be tried, on which all is asked that has no outcome.

        ``error``: what the stream ended with; None: with nothing. Raises a BraidError when there
        were too many breaks in a row, or it is of no use.
        """
        self._again += [(now_s, reservation) for reservation in self._waiting.values()]
        self._waiting.clear()
        self._breaks += 1
        self.leaves = False
        if error is not None:
            return pause_before(self._breaks, error, BREAKS)
        early = Unreachable("the stream ended before all outcomes were there", UNAVAILABLE)
        pause_s = repeats_after_s(self._breaks, early)
        if pause_s is None:
            raise early
        return pause_s

    def _due(self, now_s: float) -> Iterator[pb.Reservation]:
        while len(self._waiting) < self._in_flight:
            at = next((i for i, (due_s, _) in enumerate(self._again) if due_s <= now_s), None)
            if at is not None:
                yield self._again.pop(at)[1]
            elif self._may_take_next():
                assert self._next is not None
                reservation = self._next
                self._look()
                yield reservation
            else:
                return

    def _may_take_next(self) -> bool:
        open_count = len(self._waiting) + len(self._again)
        return self._next is not None and open_count < self._in_flight

    def _look(self) -> None:
        self._next = next(self._rest, None)
        if self._next is not None:
            request_id = self._next.request_id
            if not request_id or request_id in self._open:
                raise ValueError(f"request_id: given '{request_id}', possible: one of its own")
            size = self._next.ByteSize()
            if size > REQUEST_BYTES:
                raise ValueError(
                    f"reservation '{request_id}': given {size} bytes, possible: at most"
                    f" {REQUEST_BYTES}; reserve() takes more"
                )
            self._open.add(request_id)

    def _ended(self, outcome: Outcome) -> Outcome:
        self._attempts.pop(outcome.request_id, None)
        self._open.discard(outcome.request_id)
        return outcome
