"""braid topology import: published topologies as settings of agents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.context import USAGE, AsJson, fail, print_json
from runtime.settings import SettingsError
from simulations.importer import FORMATS, read_topology, write_topology

NAMES_SHOWN = 5


def import_(
    format_: Annotated[str, typer.Argument(metavar="FORMAT", help=f"{' or '.join(FORMATS)}")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="the topology, a JSON file")],
    out: Annotated[Path, typer.Option("--out", help="a new folder for the settings")],
    host: Annotated[str, typer.Option("--host", help="where the agents listen")] = "127.0.0.1",
    first_port: Annotated[
        int, typer.Option("--first-port", min=1, max=65_535, help="of the first agent")
    ] = 7101,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="write settings that do without TLS")
    ] = False,
    user_ports: Annotated[
        bool,
        typer.Option(
            help="atlanticwave: give each node without a port for users one (the files tell few)"
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Turn a published topology into settings: a file per agent, one for the orchestrator."""
    try:
        imported = read_topology(format_, file, add_user_ports=user_ports)
        if not imported.domains:
            raise SettingsError(f"{file}: holds no domain that can be used")
        files = write_topology(imported, out, host=host, first_port=first_port, insecure=insecure)
    except SettingsError as error:
        fail(str(error), USAGE)
    if as_json:
        remarks = [{"reason": reason, "names": list(names)} for reason, names in imported.remarks]
        print_json({"files": [str(path) for path in files], "remarks": remarks})
        return
    ports = [port for domain in imported.domains for port in domain["ports"]]
    links = sum("remote" in port for port in ports)
    typer.echo(
        f"{len(imported.domains)} domains with {len(ports)} ports, {links} of them to other"
        f" domains; {len(files)} files in {out}"
    )
    for reason, names in imported.remarks:
        shown = ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
        typer.echo(f"{len(names)} x {reason}: {shown}")
