"""Spreads independent work over the workers of a Dask cluster (the extra ``dask``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from runtime.logs import configure
from runtime.settings import LogSettings

T = TypeVar("T")
R = TypeVar("R")

CONNECT_S = 10


class DaskError(Exception):
    """The cluster cannot be used; the text says why and what to do."""


def need_dask() -> None:
    """Raises DaskError when no cluster can be used from here."""
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise DaskError(
            "a Dask cluster needs the distribution distributed, which is not installed:"
            " pip install 'braid-orchestrator[dask]'"
        ) from None


def spread_over_dask(
    work: Callable[[T], R],
    items: Sequence[T],
    address: str,
    done: Callable[[], None] = lambda: None,
) -> list[R]:
    """As :func:`simulations.pool.spread`, on the cluster whose scheduler is at ``address``.

    Its workers need the same version of Braid. Raises DaskError, and what ``work`` raises.
    """
    need_dask()
    from distributed import Client, as_completed

    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise DaskError(f"no Dask scheduler answers at {address}: {error}") from error
    with client, client.as_current():
        futures = client.map(partial(_quietly, work), items, pure=False)
        for future in as_completed(futures):
            future.result()
            done()
        return list(client.gather(futures))


def _quietly(work: Callable[[T], R], item: T) -> R:
    configure(LogSettings(level="warning", format="console"))
    return work(item)
