"""What all figures share: colours, an empty figure, and the file that it is written to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, GREEN, ORANGE, RED = "#1f5fa8", "#2a7f4f", "#d97b16", "#b3261e"
PURPLE, GREY = "#7a3e9d", "#555555"


class PlotError(Exception):
    """A figure cannot be drawn; the text says why and what to do."""


def need_matplotlib() -> None:
    """Raises PlotError when figures cannot be drawn here."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise PlotError(
            "drawing needs matplotlib, which is not installed: pip install"
            " 'braid-orchestrator[simulations]'"
        ) from None


def canvas(
    width: float, height: float, panels: int = 1, dpi: float = 150
) -> tuple[Any, list[Axes]]:
    """A figure of that size in inches, with panels side by side. Raises PlotError."""
    need_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    found = list(figure.subplots(1, panels, squeeze=False)[0])
    for axes in found:
        axes.grid(axis="y", color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, found


def write(figure: Any, file: Path) -> None:
    """As SVG where the name ends so, as PNG otherwise. Raises PlotError."""
    try:
        figure.savefig(file, format="svg" if file.suffix.lower() == ".svg" else "png")
    except OSError as error:
        raise PlotError(f"{file}: cannot be written: {error.strerror}") from error
