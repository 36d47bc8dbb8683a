"""The ``braid`` command: everything is wired together here and in the modules beside."""

from __future__ import annotations

import typer

from commands import (
    cloudnet,
    demo,
    doubt,
    health,
    reservations,
    services,
    simulate,
    topology,
    topology_import,
)

EPILOG = (
    "Exit codes: 0 done, 1 unexpected, 2 wrong argument, 3 refused for lack of capacity, "
    "4 not found, 5 nobody answers, 6 not in this state, 7 out of time (the work goes on)."
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Reserve bandwidth across many networks at once: all of it or nothing.",
    epilog=EPILOG,
)
app.command()(demo.demo)
app.command()(services.serve)
app.command()(services.agent)
app.command()(reservations.plan)
app.command()(reservations.reserve)
app.command("list")(reservations.list_)
app.command()(reservations.show)
app.command()(reservations.watch)
app.command()(reservations.modify)
app.command()(reservations.migrate)
app.command()(reservations.cancel)
app.command()(health.health)
topology.app.command("import")(topology_import.import_)
app.add_typer(topology.app, name="topology")
app.add_typer(cloudnet.app, name="cloudnet")
app.add_typer(doubt.app, name="doubt")
app.add_typer(simulate.app, name="simulate")


def main() -> None:
    """The entry point of the ``braid`` command."""
    app()


if __name__ == "__main__":
    main()
