"""What a strange domain may not say of itself: route search needs latencies of 0 or more."""

from __future__ import annotations

from typing import Any

import pytest

from braid.v1 import common_pb2
from protocol.codec import CodecError, domain_from_pb


def described(**changed: Any) -> common_pb2.Domain:
    port = common_pb2.Port(stp="a:x", capacity_bps=1, latency_us=changed.pop("latency_us", 0))
    return common_pb2.Domain(
        name="a", visibility=common_pb2.VISIBILITY_VISIBLE, ports=[port], **changed
    )


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("domain.ports.latency_us", described(latency_us=-1)),
        ("domain.horizon_s", described(horizon_s=-1)),
        ("domain.hold_timeout_s", described(hold_timeout_s=-1)),
    ],
)
def test_a_domain_with_a_number_below_zero_is_refused_by_name(
    field: str, message: common_pb2.Domain
) -> None:
    with pytest.raises(CodecError) as caught:
        domain_from_pb(message)
    assert (caught.value.field, caught.value.given) == (field, -1)


def test_zero_is_a_number_like_any_other() -> None:
    domain = domain_from_pb(described(latency_us=0, horizon_s=0, hold_timeout_s=0))
    assert (domain.ports[0].latency_us, domain.horizon_s, domain.hold_timeout_s) == (0, 0, 0)


def test_a_domain_that_says_nothing_of_expiry_never_expires() -> None:
    assert domain_from_pb(described()).hold_timeout_s is None
