"""The empty calendars of a domain: of what can be held, and of its VLANs."""

from __future__ import annotations

from agents.backends.base import Backend
from substrate.calendar import Calendar
from substrate.label_calendar import LabelCalendar

SEARCHED_MIN = 64
"""With fewer resources inside a domain, the exact calendars are as quick to search."""


def calendars_of(backend: Backend) -> tuple[Calendar, LabelCalendar]:
    """Both, with nothing taken."""
    capacities, domain = backend.capacities(), backend.describe()
    ports = {port.stp for port in domain.ports}
    inside = [resource for resource in capacities if resource.name not in ports]
    calendar = Calendar(capacities, inside if len(inside) >= SEARCHED_MIN else ())
    return calendar, LabelCalendar({port.stp: port.vlans for port in domain.ports})
