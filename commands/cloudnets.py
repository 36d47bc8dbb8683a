"""braid cloudnet: all that can be done with CloudNets."""

from __future__ import annotations

import typer

from commands import (
    cloudnet,
    cloudnet_console,
    cloudnet_requests,
    cloudnet_running,
    cloudnet_shown,
)

app = typer.Typer(no_args_is_help=True, help="CloudNets: computers and the circuits between them.")
app.command()(cloudnet.check)
app.command()(cloudnet_requests.plan)
app.command()(cloudnet_requests.create)
app.command()(cloudnet_shown.show)
app.command("list")(cloudnet_shown.list_)
app.command()(cloudnet_requests.modify)
app.command()(cloudnet_running.start)
app.command()(cloudnet_running.stop)
app.command()(cloudnet_running.cycle)
app.command()(cloudnet_console.console)
app.command()(cloudnet_running.migrate)
app.command()(cloudnet_running.what_if)
app.command()(cloudnet_requests.delete)
