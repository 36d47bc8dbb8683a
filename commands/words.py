"""Words and numbers of messages, as people read them."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

from braid.units import format_bandwidth, format_duration, format_time, format_volume
from braid.v1 import common_pb2, reservations_pb2 as pb

STYLES = {
    "committed": "green",
    "active": "green",
    "up": "green",
    "failed": "red",
    "down": "red",
    "silent": "red",
    "negotiating": "yellow",
    "scheduled": "yellow",
}


def window_text(window: common_pb2.Window) -> str:
    """Start, end and length."""
    length = format_duration(window.end_s - window.start_s)
    return f"{format_time(window.start_s)} to {format_time(window.end_s)} ({length})"


def data_plane_name(state: int) -> str:
    """ "active" for DATA_PLANE_STATE_ACTIVE."""
    name = common_pb2.DataPlaneState.Name(state)  # type: ignore[arg-type]
    return name.removeprefix("DATA_PLANE_STATE_").lower()


def vlans_text(ranges: Iterable[common_pb2.VlanRange]) -> str:
    """ "100-199,300"."""
    pieces = [f"{r.first}" if r.first == r.last else f"{r.first}-{r.last}" for r in ranges]
    return ",".join(pieces) or "none"


def styled(word: str, style: str | None = None) -> Text:
    """A word in the colour of what it says."""
    return Text(word, style if style is not None else STYLES.get(word, ""))


def rate_text(request: pb.Reservation) -> str:
    """What bandwidth a request allows: "10 Gb/s", "2 Gb/s to 10 Gb/s", "at most 10 Gb/s"."""
    most = format_bandwidth(request.bandwidth_bps)
    bends = request.flexibility
    if bends.HasField("volume_bytes"):
        return f"at most {most}" if request.bandwidth_bps else "as fast as the ports"
    if bends.HasField("least_bandwidth_bps"):
        most = f"{format_bandwidth(bends.least_bandwidth_bps)} to {most}"
    return most + each_text(request)


def each_text(request: pb.Reservation) -> str:
    """What follows a bandwidth that several destinations get each; empty for one."""
    return " to each" if request.more_destinations else ""


def when_text(request: pb.Reservation) -> str:
    """When a request wants it: a window, or a duration somewhere in it."""
    window = window_text(request.window)
    bends = request.flexibility
    if bends.HasField("duration_s"):
        return f"{format_duration(bends.duration_s)} within {window}"
    return window


def volume_text(request: pb.Reservation) -> str:
    """The volume that is to be moved, and how; empty when none was asked for."""
    bends = request.flexibility
    if not bends.HasField("volume_bytes"):
        return ""
    phases = f", {bends.max_phases} phases at most" if bends.HasField("max_phases") else ""
    return format_volume(bends.volume_bytes) + phases + (", soonest" if bends.soonest else "")


def phase_text(domain: common_pb2.Domain) -> str:
    """The least that a domain takes of a rate that changes: "5m, 1 Gb/s"; "any"."""
    pieces = []
    if domain.least_phase_s:
        pieces.append(format_duration(domain.least_phase_s))
    if domain.least_rate_bps:
        pieces.append(format_bandwidth(domain.least_rate_bps))
    return ", ".join(pieces) or "any"
