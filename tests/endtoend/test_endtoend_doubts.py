"""What is in doubt is seen and settled by hand, over real gRPC and with the braid command."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result
from world import G, World, diamond, eventually, world

from braid.client import AsyncClient, Conflict, InvalidRequest, NotFound
from braid.v1 import doubts_pb2, reservations_pb2 as pb
from commands.main import app
from orchestrator.domains import GrpcGateway
from protocol.messages import Commit, ToAgent

CANCELLED = pb.RESERVATION_STATE_CANCELLED
FAILED = pb.RESERVATION_STATE_FAILED
NEGOTIATING = pb.RESERVATION_STATE_NEGOTIATING


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[World]:
    expiring = {"hold_timeout_s": 30}
    async with world(tmp_path, diamond(m1=expiring, m2=expiring), drain_timeout_s=0) as it:
        yield it


@pytest.fixture
async def client(made: World) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(made.target, insecure=True) as it:
        yield it


class Deafness:
    """Domains that do not get Commits while they are in ``domains``."""

    def __init__(self) -> None:
        self.domains: set[str] = set()


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> Deafness:
    deafness, send = Deafness(), GrpcGateway.send

    def lossy(gateway: GrpcGateway, domain: str, message: ToAgent) -> bool:
        lost = domain in deafness.domains and isinstance(message, Commit)
        return True if lost else send(gateway, domain, message)

    monkeypatch.setattr(GrpcGateway, "send", lossy)
    return deafness


async def in_doubt(client: AsyncClient) -> list[doubts_pb2.Doubt]:
    found: doubts_pb2.ListDoubtsResponse = await client.doubts(0)
    return list(found.doubts)


async def one_in_doubt(client: AsyncClient, state: str) -> doubts_pb2.Doubt:
    async def found() -> doubts_pb2.Doubt | None:
        listed = await in_doubt(client)
        return listed[0] if [doubt.state for doubt in listed] == [state] else None

    await eventually(found)
    doubt = await found()
    assert doubt is not None
    return doubt


async def settle(client: AsyncClient, doubt: doubts_pb2.Doubt, word: str) -> Any:
    answer = await client.settle(
        doubt.transaction_id, doubt.part_id, word, operator="jo", reason="it burnt down"
    )
    return answer.decision


async def braid(target: str, *arguments: str, code: int = 0) -> Result:
    environment = {"BRAID_TARGET": target, "BRAID_INSECURE": "1"}
    result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env=environment)
    assert result.exit_code == code, result.output
    return result


def as_json(result: Result) -> Any:
    """The object that was printed, among what the agents of the same process log."""
    return json.loads(next(line for line in result.stdout.splitlines() if line.startswith("{")))


async def test_a_release_that_a_dead_domain_never_acknowledges_is_given_up(
    made: World, client: AsyncClient
) -> None:
    record = await made.reserve(10 * G)
    domain = next(part.domain for part in record.parts if part.domain.startswith("m"))
    await made.stop_agent(domain)
    await made.cancel(record.reservation_id)
    doubt = await one_in_doubt(client, "RELEASING")
    assert (doubt.domain, doubt.reservation_id) == (domain, record.reservation_id)
    assert doubt.reason.startswith("its agent is down since 20")
    assert list(doubt.possible) == [doubts_pb2.SETTLEMENT_GIVE_UP]
    assert doubt.orchestrator_id == "braid"
    assert (await client.doubts("1h")).doubts == []

    with pytest.raises(Conflict, match="possible: GIVE_UP of a part that is RELEASING"):
        await settle(client, doubt, "commit")
    decision = await settle(client, doubt, "give-up")
    assert (decision.operator, decision.reason) == ("jo", "it burnt down")
    assert await settle(client, doubt, "give-up") == decision
    with pytest.raises(Conflict, match="GIVE_UP, as jo decided before"):
        await settle(client, doubt, "commit")
    assert await in_doubt(client) == []
    assert list((await client.doubts()).decisions) == [decision]
    shown = await made.get(record.reservation_id)
    assert shown.state == CANCELLED
    assert all(part.released for part in shown.parts)

    # It returns and holds its part all the same, until it hears better.
    await made.start_agent(domain)
    await made.nothing_held()
    assert (await client.doubts()).decisions[0].contradicted


async def test_giving_up_a_domain_that_does_not_confirm_fails_the_reservation(
    made: World, client: AsyncClient, deaf: Deafness
) -> None:
    deaf.domains = {"m1", "m2"}
    record = await client.reserve("west:host", "east:host", "10G", duration="1h", detach=True)
    doubt = await one_in_doubt(client, "COMMITTING")
    await made.stop_agent(doubt.domain)
    assert (await made.get(record.reservation_id)).state == NEGOTIATING
    assert list(doubt.possible) == [doubts_pb2.SETTLEMENT_COMMIT, doubts_pb2.SETTLEMENT_GIVE_UP]
    await settle(client, doubt, "give-up")

    async def failed() -> bool:
        return bool((await made.get(record.reservation_id)).state == FAILED)

    await eventually(failed)
    refusals = (await made.get(record.reservation_id)).refusals
    assert [refusal.domain for refusal in refusals] == [doubt.domain]
    assert "an operator gave its part up by hand" in refusals[0].reason
    await made.nothing_held()

    await made.start_agent(doubt.domain)
    await made.nothing_held()
    assert (await client.doubts()).decisions[0].contradicted

    async def events() -> list[str]:
        watched = client.watch(record.reservation_id, until_decided=True)
        return [event.WhichOneof("kind") or "" async for event in watched]

    assert "settled_by_hand" in await events()


async def test_a_domain_that_asks_for_what_was_given_up_contradicts(
    made: World, client: AsyncClient, deaf: Deafness
) -> None:
    deaf.domains = {"m1", "m2"}
    await client.reserve("west:host", "east:host", "10G", duration="1h", detach=True)
    doubt = await one_in_doubt(client, "COMMITTING")
    await settle(client, doubt, "give-up")

    async def contradicted() -> bool:
        return bool((await client.doubts()).decisions[0].contradicted)

    await eventually(contradicted)
    await made.nothing_held()


async def test_what_cannot_be_settled_is_refused_by_name(made: World, client: AsyncClient) -> None:
    record = await made.reserve(10 * G)
    with pytest.raises(NotFound) as unknown:
        await client.settle("tx", "part", "commit", operator="jo", reason="why")
    assert unknown.value.field == "part_id"
    with pytest.raises(InvalidRequest) as wrong:
        await client.settle("tx", "a b", "commit", operator="jo", reason="why")
    assert wrong.value.field == "part_id"
    with pytest.raises(InvalidRequest) as nobody:
        await client.settle("tx", "part", "commit", operator="", reason="why")
    assert nobody.value.field == "operator"
    holding = (await made.holdings("west"))[0]
    with pytest.raises(Conflict, match="a part in doubt; this one is COMMITTED"):
        await client.settle(
            holding.transaction_id, holding.part_id, "commit", operator="jo", reason="why"
        )
    assert (await made.get(record.reservation_id)).state == pb.RESERVATION_STATE_COMMITTED


async def test_the_command_lists_and_settles_at_an_orchestrator(made: World) -> None:
    nothing = await braid(made.target, "doubt", "list", "--older-than", "0s")
    assert "nothing is in doubt for 0s\n" in nothing.stdout
    record = await made.reserve(10 * G)
    await made.stop_agent("west")
    await made.cancel(record.reservation_id)
    listed = await braid(made.target, "doubt", "list", "--older-than", "0s", "--json")
    doubt = as_json(listed)["doubts"][0]
    keys = (doubt["transaction_id"], doubt["part_id"])
    table = await braid(made.target, "doubt", "list", "--older-than", "0s")
    for word in ("west", *keys, "releasing", "its agent is down since", "give-up"):
        assert word in table.stdout, word

    order = ("doubt", "settle", *keys, "give-up", "--reason", "gone for good")
    unsure = await braid(made.target, *order, code=2)
    assert "possible: --yes" in unsure.stderr
    await braid(made.target, "doubt", "settle", *keys, "commit", "--reason", "x", "--yes", code=6)
    settled = await braid(made.target, *order, "--operator", "jo", "--yes")
    assert "gone for good" in settled.stdout
    after = await braid(made.target, "doubt", "list", "--older-than", "0s")
    assert "nothing is in doubt" in after.stdout
    assert "decided by hand" in after.stdout
    shown = await braid(made.target, "watch", record.reservation_id, "--until-decided")
    assert "west: settled by hand, give-up, by jo: gone for good" in shown.stdout


async def test_the_command_lists_and_settles_at_an_agent(
    made: World, client: AsyncClient, deaf: Deafness
) -> None:
    deaf.domains = {"m1", "m2"}
    await client.reserve("west:host", "east:host", "10G", duration="1h", detach=True)
    doubt = await one_in_doubt(client, "COMMITTING")
    await made.stop_orchestrator()
    agent = made.agents[doubt.domain].address

    async def held() -> bool:
        listed = await braid(agent, "doubt", "list", "--json")
        return bool(as_json(listed)["doubts"])

    await eventually(held)
    table = await braid(agent, "doubt", "list")
    assert doubt.part_id in table.stdout
    assert "commit, give-up" in table.stdout
    keys = (doubt.transaction_id, doubt.part_id)
    await braid(agent, "doubt", "settle", *keys, "commit", "--reason", "on the phone", "--yes")
    assert "nothing is in doubt" in (await braid(agent, "doubt", "list")).stdout
