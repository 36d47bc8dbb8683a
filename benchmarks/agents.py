"""Many agents in one process and one event loop, each a real one behind a server of its own.

    python -m benchmarks.agents FILE FOLDER

FILE: a JSON list of domains' settings. FOLDER: where each listens, on the socket NAME.sock; a
domain whose database NAME.db is there too keeps its parts in it, the others in memory.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from agents.agent import Agent
from agents.backends import open_backend
from agents.book import Book
from agents.server import service
from agents.store import DatabaseStore, MemoryStore, Store
from agents.streams import Streams
from runtime.clock import SystemClock
from runtime.database import Database
from runtime.logs import configure
from runtime.server import GrpcServer
from runtime.settings import ListenSettings, LogSettings


async def start(domain: dict[str, Any], folder: Path) -> GrpcServer:
    """One agent, serving."""
    database = folder / f"{domain['domain']}.db"
    store: Store = MemoryStore()
    if database.exists():
        store = DatabaseStore(Database(f"sqlite:///{database}"))
    clock, streams = SystemClock(), Streams()
    agent = Agent(Book(open_backend(domain)), store, clock, streams.send)
    await agent.start()
    listen = ListenSettings(listen=f"unix:{folder / domain['domain']}.sock", insecure=True)
    server = GrpcServer(listen, service(agent, streams, clock))
    await server.start()
    return server


async def serve(domains: list[dict[str, Any]], folder: Path) -> None:
    """All of them, until the process is killed."""
    servers = [await start(domain, folder) for domain in domains]
    print(json.dumps({"listening": f"{len(servers)} sockets"}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    configure(LogSettings(level="warning"))
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])))
