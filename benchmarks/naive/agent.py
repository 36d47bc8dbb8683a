"""A naive agent: one link, whose sum over the window is asked of the database."""

from __future__ import annotations

import sys

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from benchmarks.naive.tables import Base, Hold
from benchmarks.naive.wire import handlers, serve
from braid.v1 import agent_pb2, common_pb2
from runtime.database import open_engine

CAPACITY_BPS = 10**15


class NaiveAgent:
    """Every message in a transaction of its own."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        Base.metadata.create_all(self._engine)

    def offer(self, message: agent_pb2.OrchestratorMessage) -> agent_pb2.AgentMessage:
        """What is free during the whole window, or rather less: the sum of all that overlaps."""
        asked = message.req_offers
        with Session(self._engine) as session:
            free_bps = CAPACITY_BPS - _held(session, asked.window)
        step = common_pb2.BandwidthStep(start_s=asked.window.start_s, bandwidth_bps=free_bps)
        offers = [agent_pb2.Offer(profile=[step])]
        answer = agent_pb2.SendOffers(query_id=asked.query_id, offers=offers)
        return agent_pb2.AgentMessage(send_offers=answer)

    def prepare(self, message: agent_pb2.OrchestratorMessage) -> agent_pb2.AgentMessage:
        """Checks and holds in one transaction."""
        prep = message.reservation_prep
        wanted_bps = sum(segment.bandwidth_bps for segment in prep.segments)
        with Session(self._engine) as session, session.begin():
            ok = _held(session, prep.window) + wanted_bps <= CAPACITY_BPS
            if ok:
                hold = Hold(
                    transaction_id=prep.transaction_id,
                    part_id=prep.part_id,
                    prep=prep.SerializeToString(),
                    start_s=prep.window.start_s,
                    end_s=prep.window.end_s,
                    bandwidth_bps=wanted_bps,
                    state="HELD",
                )
                session.add(hold)
        return _answer(prep.transaction_id, prep.part_id, agent_pb2.PHASE_PREP, ok)

    def commit(self, message: agent_pb2.OrchestratorMessage) -> agent_pb2.AgentMessage:
        """What is held is in force."""
        word = message.commit
        with Session(self._engine) as session, session.begin():
            hold = session.get(Hold, (word.transaction_id, word.part_id))
            if hold is not None:
                hold.state = "COMMITTED"
        return _answer(word.transaction_id, word.part_id, agent_pb2.PHASE_COMMIT, hold is not None)


def _held(session: Session, window: common_pb2.Window) -> int:
    overlapping = select(func.coalesce(func.sum(Hold.bandwidth_bps), 0)).where(
        Hold.start_s < window.end_s, Hold.end_s > window.start_s
    )
    return int(session.execute(overlapping).scalar_one())


def _answer(
    transaction_id: str, part_id: str, phase: agent_pb2.Phase.ValueType, ok: bool
) -> agent_pb2.AgentMessage:
    response = agent_pb2.ReservationResp(
        transaction_id=transaction_id, part_id=part_id, phase=phase, ok=ok
    )
    return agent_pb2.AgentMessage(reservation_resp=response)


def main(url: str) -> None:
    """Serves until it is killed."""
    agent = NaiveAgent(url)
    calls = handlers(offer=agent.offer, prepare=agent.prepare, commit=agent.commit)
    serve(lambda server: server.add_generic_rpc_handlers((calls,)))


if __name__ == "__main__":
    main(sys.argv[1])
