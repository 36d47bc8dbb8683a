"""What the naive orchestrator and the naive agents remember."""

from __future__ import annotations

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables; each process uses one of them."""


class Booking(Base):
    """A reservation at the orchestrator."""

    __tablename__ = "booking"
    request_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    reservation_id: Mapped[str] = mapped_column(String(128))
    request: Mapped[bytes]
    state: Mapped[str] = mapped_column(String(16))


class Hold(Base):
    """A part at an agent."""

    __tablename__ = "hold"
    transaction_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    part_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    prep: Mapped[bytes]
    start_s: Mapped[int] = mapped_column(BigInteger, index=True)
    end_s: Mapped[int] = mapped_column(BigInteger, index=True)
    bandwidth_bps: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(16))
