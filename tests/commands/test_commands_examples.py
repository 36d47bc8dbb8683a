"""Each example of docs/rdl says of itself whether the demo's world takes it, or why nobody does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from cloudnet_world import EXAMPLES
from faked import braid

from braid.client import Client
from commands.demo import wait_until_up
from commands.processes import World

NAMES = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))
TAKEN = "# In the demo's world `braid cloudnet create` takes it."
REFUSED = re.compile(r"# `braid cloudnet create` refuses it: [^`]*`([^`]+)`")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo's orchestrator, with all providers that the demo has in the end."""
    with World(tmp_path_factory.mktemp("demo")) as world:
        world.start()
        with Client(world.target, insecure=True) as client:
            client.register("reseller", world.start_below())
            wait_until_up(client, len(world.agents))
        yield world.target


def last_line(name: str) -> str:
    return (EXAMPLES / f"{name}.yaml").read_text().splitlines()[-1]


def test_every_example_says_one_or_the_other() -> None:
    taken = [name for name in NAMES if last_line(name) == TAKEN]
    assert [name for name in NAMES if REFUSED.match(last_line(name))] == [
        name for name in NAMES if name not in taken
    ]
    assert {"pair", "apart", "replicas", "same-architecture"} <= set(taken)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_an_example_can_be_created_or_is_refused_as_it_says(target: str, name: str) -> None:
    file = str(EXAMPLES / f"{name}.yaml")
    done = braid(target, "cloudnet", "create", file, "--duration", "10m", "--wait", "--json")
    refused = REFUSED.match(last_line(name))
    if refused is not None:
        assert done.exit_code == 2
        assert refused[1] in done.stderr
        return
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["data_plane"] == "DATA_PLANE_STATE_ACTIVE"
    given_back = braid(target, "cloudnet", "delete", record["reservation_id"])
    assert given_back.exit_code == 0, given_back.output
