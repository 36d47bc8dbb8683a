"""Which keyword an error is about, and single texts where several are wanted."""

from __future__ import annotations

import grpc
import pytest
from client_world import ROUTE, Either
from fake_orchestrator import FakeOrchestrator
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from braid import cloudnets, requests
from braid.client import InvalidRequest
from braid.keywords import UNLIKE, keywords_of
from braid.v1 import reservations_pb2 as pb, topology_pb2

WRONG = grpc.StatusCode.INVALID_ARGUMENT
TOLD = "window.end_s: given 5, possible: less than end_s"
VOLUME = pb.Reservation(flexibility=pb.Flexibility(volume_bytes=1))
SLIDES = pb.Reservation(flexibility=pb.Flexibility(duration_s=1))


@pytest.mark.parametrize(
    ("field", "asked", "keywords"),
    [
        ("window.end_s", VOLUME, ["deadline"]),
        ("window.end_s", SLIDES, ["window"]),
        ("window.end_s", pb.Reservation(), ["end", "duration"]),
        ("window.start_s", VOLUME, ["start"]),
        ("end_s", pb.ModifyRequest(), ["end"]),
        ("switch_s", pb.ModifyRequest(), ["at"]),
        ("constraints.via_domains", pb.ModifyRequest(), ["via"]),
        ("constraints.survive", pb.Reservation(), ["survive"]),
        ("constraints.ero[3]", pb.Reservation(), ["ero"]),
        ("flexibility.soonest", VOLUME, ["soonest"]),
        ("cloudnet.placing[2].domain", pb.Reservation(), ["at"]),
        ("cloudnet.graph.elements.a", pb.Reservation(), []),
        ("strategy", pb.Reservation(), ["strategy"]),
        ("more_destinations[0]", pb.Reservation(), ["more_destinations"]),
        ("window.end_s", topology_pb2.AvailabilityRequest(), []),
        ("window.end_s", None, []),
        ("", pb.Reservation(), []),
    ],
)
def test_a_field_is_said_by_its_keywords(
    field: str, asked: Message | None, keywords: list[str]
) -> None:
    assert list(keywords_of(field, asked)) == keywords


def has(of: Descriptor | None, path: str) -> bool:
    name, _, rest = path.partition(".")
    if of is None or name not in of.fields_by_name:
        return False
    return not rest or has(of.fields_by_name[name].message_type, rest)


def test_every_field_that_is_called_otherwise_is_a_field() -> None:
    messages = (pb.Reservation.DESCRIPTOR, pb.ModifyRequest.DESCRIPTOR)
    assert [path for path in UNLIKE if not any(has(each, path) for each in messages)] == []


async def test_an_error_names_the_keyword_and_the_field(
    client: Either, fake: FakeOrchestrator
) -> None:
    fake.fail(WRONG, TOLD)
    with pytest.raises(InvalidRequest) as caught:
        await client("reserve", *ROUTE, volume="1TB", deadline="+1h")
    error = caught.value
    assert str(error) == "deadline (window.end_s): given 5, possible: less than end"
    assert (error.field, error.keywords, error.message) == ("window.end_s", ("deadline",), TOLD)


async def test_other_words_of_an_orchestrator_are_left_as_they_are(
    client: Either, fake: FakeOrchestrator
) -> None:
    fake.fail(WRONG, "cloudnet.graph: given 9, possible: end_s")
    with pytest.raises(InvalidRequest, match=r"^cloudnet.graph: given 9, possible: end_s$"):
        await client("plan", *ROUTE, "1G", duration="1h")


@pytest.mark.parametrize("keyword", ["more_destinations", "via", "avoid", "ero"])
async def test_one_text_in_place_of_several_is_an_error_and_not_its_letters(
    client: Either, fake: FakeOrchestrator, keyword: str
) -> None:
    with pytest.raises(TypeError, match=rf"{keyword}: given 'sitec:dtn', possible: a list"):
        await client("reserve", *ROUTE, "1G", duration="1h", **{keyword: "sitec:dtn"})
    assert fake.asked == []


async def test_the_same_where_states_vnodes_or_what_begins_anew_are_named(client: Either) -> None:
    with pytest.raises(TypeError, match=r"states: given 'failed', possible: a list"):
        await client("list", "failed")
    with pytest.raises(TypeError, match=r"vnodes: given 'left'"):
        await client("power", "r1", "stop", "left")
    with pytest.raises(TypeError, match=r"anew: given b'left'"):
        cloudnets.cloudnet(b"", anew=b"left")  # type: ignore[arg-type]


def test_any_other_sequence_is_taken() -> None:
    message = requests.reservation(
        *ROUTE, "1G", duration="1h", more_destinations=("a:x", "b:x"), via={"c"}
    )
    assert list(message.more_destinations) == ["a:x", "b:x"]
    assert list(message.constraints.via_domains) == ["c"]
