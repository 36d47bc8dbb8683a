"""braid topology: what the orchestrator knows of the domains; joining and leaving."""

from __future__ import annotations

from typing import Annotated

import typer

from braid.v1 import topology_pb2
from commands.context import (
    DEFAULT_TARGET,
    UNREACHABLE,
    AsJson,
    Authority,
    Certificate,
    Insecure,
    PrivateKey,
    Target,
    connected,
    console,
    fail,
    print_json,
)
from commands.topology_import import import_
from commands.views import availability_view, topology_view

app = typer.Typer(no_args_is_help=True, help="Domains, their state, ports and links.")
app.command("import")(import_)

Name = Annotated[str, typer.Argument(help="the domain's name")]


@app.command()
def show(
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Show domains and inter-domain links."""
    with connected(target, insecure, ca, cert, key) as client:
        answer: topology_pb2.GetTopologyResponse = client.topology()
    print_json(answer) if as_json else console().print(topology_view(answer))


@app.command()
def availability(
    context: typer.Context,
    ingress: Annotated[str, typer.Argument(help="STP, domain:port")],
    egress: Annotated[str, typer.Argument(help="another STP of the same domain")],
    start: Annotated[str, typer.Option("--start", help="as for reserve")] = "now",
    duration: Annotated[str, typer.Option("--duration", help="how far to look")] = "1d",
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Show the free bandwidth between two STPs of one visible domain over time."""
    with connected(target, insecure, ca, cert, key, context) as client:
        answer: topology_pb2.AvailabilityResponse = client.availability(
            ingress, egress, start=start, duration=duration
        )
    print_json(answer) if as_json else console().print(availability_view(answer))


@app.command()
def join(
    domain: Name,
    agent: Annotated[str, typer.Argument(help="host:port of its agent")],
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Make the orchestrator connect to a domain's agent, now and after restarts.

    Exit 5: it is registered, but does not answer yet.
    """
    with connected(target, insecure, ca, cert, key) as client:
        answer: topology_pb2.RegisterResponse = client.register(domain, agent)
    up = answer.status.state == topology_pb2.DOMAIN_STATE_UP
    if as_json:
        print_json(answer)
    elif up:
        typer.echo(f"{domain} is up")
    if not up:
        fail(f"{domain} is registered but down: {answer.status.reason}", UNREACHABLE)


@app.command()
def leave(
    domain: Name,
    as_json: AsJson = False,
    target: Target = DEFAULT_TARGET,
    insecure: Insecure = False,
    ca: Authority = None,
    cert: Certificate = None,
    key: PrivateKey = None,
) -> None:
    """Make the orchestrator forget a domain that no live reservation uses."""
    with connected(target, insecure, ca, cert, key) as client:
        answer: topology_pb2.UnregisterResponse = client.unregister(domain)
    print_json(answer) if as_json else typer.echo(f"{domain} left")
