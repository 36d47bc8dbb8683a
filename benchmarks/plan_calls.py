"""`Plan` over networks of many domains: an orchestrator, and all agents in a process beside it."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc

from benchmarks import live, networks
from benchmarks.load import Measured
from benchmarks.networks import Domains
from benchmarks.results import Row
from benchmarks.setting import Setting
from benchmarks.world import BrokenError, G, World, world
from braid.client import Client
from braid.v1 import common_pb2, reservations_pb2 as pb, topology_pb2
from braid.v1.reservations_pb2_grpc import ReservationsStub
from runtime import schema

if TYPE_CHECKING:
    from braid.v1.reservations_pb2_grpc import ReservationsAsyncStub

IN_FLIGHT = 32
HOT_PAIRS = 32
BANDWIDTH_BPS = G
HOURS = {"hot": 24, "any": 24 * 30, "known": 24 * 30}
"""In how many hours circuits begin: a night that many ask for, or a month."""
LEARNING = 15
"""So many times longer than the others ``known`` is asked for before it is measured."""
UP_MAX_S = 120.0
TIMEOUT_S = 300
LIVE_NODES = 200


def plan_calls(setting: Setting) -> None:
    """Over as many domains as asked for; the smallest network is the baseline of the others."""
    baselines: dict[str, Row] = {}
    for nodes in sorted(setting.nodes):
        name, domains = f"plan, {nodes:,} nodes", networks.network(nodes)
        if nodes == networks.ESNET_NODES:
            name, real = "plan, ESnet", networks.esnet()
            if real is None:
                setting.results.skip(name, f"{networks.ESNET} is not there")
                continue
            domains = real
        with world(setting.place(name)) as made:
            start(made, domains)
            _both(setting, made, name, domains, baselines)


def plan_calls_live(setting: Setting) -> None:
    """Over 200 domains, empty and with many live reservations spread over all of them."""
    nodes, most = min(LIVE_NODES, max(setting.nodes)), max(setting.live)
    baselines: dict[str, Row] = {}
    for count in (0, most):
        name, domains = f"plan, {nodes:,} nodes, {count:,} live", networks.network(nodes)
        with world(setting.place(name)) as made:
            if count:
                fill(made, domains, count // nodes)
            start(made, domains)
            _both(setting, made, name, domains, baselines)


def fill(made: World, domains: Domains, count: int) -> None:
    """Databases for the agents; the tables are made once and copied, which is quicker."""
    empty = made.folder / "empty.db"
    schema.upgrade(f"sqlite:///{empty}", "agent")
    for domain in domains:
        shutil.copy(empty, made.folder / f"{domain['domain']}.db")
        live.fill(made.database(domain["domain"]), domain, count)


def start(made: World, domains: Domains) -> None:
    """An agent for each domain, in one process, and an orchestrator."""
    file = made.folder / "domains.json"
    file.write_text(json.dumps(domains))
    made.start("benchmarks.agents", str(file), str(made.folder))
    made.orchestrator(targets(made, domains))
    up(made, domains)


def targets(made: World, domains: Domains) -> dict[str, str]:
    """Where the agents listen."""
    names = [domain["domain"] for domain in domains]
    return {name: f"unix:{made.folder / name}.sock" for name in names}


def up(made: World, domains: Domains) -> None:
    """Waits until the orchestrator knows all domains."""
    deadline_s = time.monotonic() + UP_MAX_S
    with Client(made.target, insecure=True) as client:
        while any(s.state != topology_pb2.DOMAIN_STATE_UP for s in client.topology().domains):
            if time.monotonic() > deadline_s:
                raise BrokenError(f"not all of {len(domains)} domains came up:\n{made.errors()}")
            time.sleep(0.5)
    made.settle()


def _both(
    setting: Setting, made: World, name: str, domains: Domains, baselines: dict[str, Row]
) -> None:
    """Pairs that everybody asks for, and pairs of sites that hardly come twice, twice: while what
    domains have is not known yet, and when most of it is."""
    sites = networks.users(domains)
    pairs = [(one, other) for one in sites for other in sites if one != other]
    random.Random(5).shuffle(pairs)
    for variant, chosen in (("hot", pairs[:HOT_PAIRS]), ("any", pairs), ("known", pairs)):
        row = _measured(setting, made, name, variant, chosen)
        setting.results.add(row, baselines.get(variant))
        baselines.setdefault(variant, row)


def _measured(
    setting: Setting, made: World, name: str, variant: str, pairs: list[tuple[str, str]]
) -> Row:
    measured = Measured()
    warm_up_s = setting.warm_up_s * (LEARNING if variant == "known" else 1)
    setting = replace(setting, warm_up_s=warm_up_s)
    wanted = _requests(variant, pairs)
    cpu_s = asyncio.run(ask(setting, made, measured, wanted, IN_FLIGHT))
    if measured.refused or not measured.latencies_s:
        raise BrokenError(f"{name}, {variant}: {measured.refused} infeasible\n{made.errors()}")
    return measured.row(name, variant, IN_FLIGHT, cpu_s)


async def ask(
    setting: Setting,
    made: World,
    measured: Measured,
    wanted: Iterator[pb.Reservation],
    in_flight: int,
    counts: Callable[[pb.PlanResponse], bool] = lambda _answer: True,
) -> float:
    """Asks ``Plan`` for all of them, so many at once, until the time is over.

    Seconds of processor time that the world used while it was measured. ``counts``: which answers
    are measured.
    """
    began_s = time.perf_counter() + setting.warm_up_s
    until_s = began_s + setting.seconds

    async def one(stub: ReservationsAsyncStub) -> None:
        for request in wanted:
            asked_s = time.perf_counter()
            answer = await stub.Plan(request, timeout=TIMEOUT_S)
            now_s = time.perf_counter()
            if began_s <= now_s < until_s and counts(answer):
                measured.latencies_s.append(now_s - asked_s)
                measured.refused += not answer.feasible
            if now_s >= until_s:
                return

    async with grpc.aio.insecure_channel(made.target) as channel:
        asking = [asyncio.create_task(one(ReservationsStub(channel))) for _ in range(in_flight)]
        await asyncio.wait(asking, timeout=setting.warm_up_s)
        before_s = sum(made.cpu_s())
        await asyncio.wait(asking, timeout=setting.seconds)
        used_s = sum(made.cpu_s()) - before_s
        await asyncio.gather(*asking)
    measured.seconds = setting.seconds
    return used_s


def _requests(variant: str, pairs: list[tuple[str, str]]) -> Iterator[pb.Reservation]:
    """Without end: pair after pair, at any of the variant's hours."""
    dice = random.Random(variant)
    midnight_s = int(time.time()) // 86_400 * 86_400 + 2 * 86_400
    number = 0
    while True:
        source, destination = pairs[number % len(pairs)]
        start_s = midnight_s + 3600 * dice.randrange(HOURS[variant])
        yield pb.Reservation(
            request_id=f"{variant}-{number}",
            source=source,
            destination=destination,
            bandwidth_bps=BANDWIDTH_BPS,
            window=common_pb2.Window(start_s=start_s, end_s=start_s + 3600),
            negotiation_timeout_s=TIMEOUT_S,
        )
        number += 1
