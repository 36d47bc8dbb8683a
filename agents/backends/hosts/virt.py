"""Hosts that libvirt manages, each a connection of its own (https://libvirt.org/html/).

The Python module ``libvirt`` is no dependency: it is asked for when the first host is. Its calls
block, so they run in threads. A VNode is a persistent domain, found again by its name.
"""

from __future__ import annotations

import asyncio
import importlib
import uuid
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, TypeVar
from xml.sax.saxutils import quoteattr

import structlog

from agents.backends.base import DeviceError
from agents.backends.hosts.port import (
    CONSOLE_CHUNK_BYTES,
    Condition,
    HostSpec,
    PowerState,
    VNodeName,
    VNodeSpec,
)
from runtime.settings import SettingsError, Strict

DOMAINS = uuid.UUID("9bb0ed0c-9ba5-5c4d-a8b6-6a8f6c1c5c0a")
"""The name space of the UUIDs of domains (RFC 9562, version 5)."""
PREFIX = "braid:"
PERIOD_US = 100_000
"""In which a VNode may use its share of the processors (cgroup's cfs_period_us)."""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class LibvirtOptions(Strict):
    """``uri``: of a host, in which ``{host}`` is its name; ``uris``: of hosts that have another.

    ``type``: of domains (kvm, qemu, xen, test). ``bridge``: the Open vSwitch bridge of each host.
    ``pool``: where disks are made, as copies of images: volumes that have the image's name.
    """

    uri: str = "qemu+ssh://{host}/system"
    uris: Mapping[str, str] = {}
    type: str = "kvm"
    bridge: str = "br0"
    pool: str = "default"


class LibvirtHosts:
    """Raises SettingsError where there is no libvirt."""

    def __init__(self, hosts: Iterable[HostSpec], options: LibvirtOptions) -> None:
        self._hosts = {host.name for host in hosts}
        self._options = options
        self._libvirt = _module()
        self._connections: dict[str, Any] = {}

    async def ensure(self, host: str, vnode: VNodeSpec) -> None:
        await self._do(host, lambda at: self._ensure(at, vnode))

    async def start(self, host: str, name: VNodeName) -> None:
        await self._do(host, lambda at: self._start(self._domain(at, name)))

    async def stop(self, host: str, name: VNodeName) -> None:
        await self._do(host, lambda at: self._stop(self._domain(at, name)))

    async def cycle(self, host: str, name: VNodeName) -> None:
        def cycle(at: Any) -> None:
            domain = self._domain(at, name)
            self._stop(domain)
            self._start(domain)

        await self._do(host, cycle)

    async def remove(self, host: str, name: VNodeName) -> None:
        await self._do(host, lambda at: self._remove(at, name))

    async def migrate(self, source: str, target: str, vnode: VNodeSpec) -> None:
        """Live where the hypervisor can; or else it is begun anew at the target, then removed."""
        to = await self._do(target, lambda at: at)

        def migrate(at: Any) -> None:
            moving = self._found(at, vnode.name)
            if moving is None or source == target:
                self._ensure(to, vnode)
                return
            runs = bool(moving.isActive())
            if not (runs and self._moved_live(moving, to)):
                self._ensure(to, vnode)
                if runs:
                    self._start(self._domain(to, vnode.name))
            self._remove(at, vnode.name)

        await self._do(source, migrate)

    async def condition(self, host: str, name: VNodeName) -> Condition:
        def look(at: Any) -> Condition:
            domain = self._found(at, name)
            return Condition(PowerState.GONE) if domain is None else self._condition(domain)

        return await self._do(host, look)

    async def found(self, host: str) -> Mapping[VNodeName, Condition]:
        def look(at: Any) -> Mapping[VNodeName, Condition]:
            known = {_name_of(domain.name()): domain for domain in at.listAllDomains(0)}
            return {n: self._condition(domain) for n, domain in known.items() if n is not None}

        return await self._do(host, look)

    async def console(self, host: str, name: VNodeName) -> LibvirtConsole:
        def open_(at: Any) -> LibvirtConsole:
            stream = at.newStream(0)
            self._domain(at, name).openConsole(None, stream, 0)
            return LibvirtConsole(stream, self._libvirt.libvirtError)

        return await self._do(host, open_)

    async def prepare(self, host: str, image: str) -> None:
        """Looks that the image is in the host's pool: bringing it there is the operator's work."""
        if image:
            await self._do(host, lambda at: self._pool(at).storageVolLookupByName(image))

    async def discard(self, host: str, image: str) -> None:
        """Nothing."""

    def _ensure(self, at: Any, vnode: VNodeSpec) -> None:
        self._make_disk(at, vnode)
        domain = at.defineXML(domain_xml(vnode, self._options))
        if domain.isActive():
            # What cannot be given to it as it runs it has once it is power-cycled.
            self._tried(domain.setMemory, vnode.memory_bytes // 1024)
            self._tried(domain.setVcpus, _processors(vnode))

    def _tried(self, change: Callable[[int], Any], amount: int) -> None:
        try:
            change(amount)
        except self._libvirt.libvirtError as error:
            _log.info("not changed while it runs", reason=str(error))

    def _make_disk(self, at: Any, vnode: VNodeSpec) -> None:
        """A copy of the image, or an empty one, in the host's pool; one that is there stays."""
        if not vnode.disk_bytes:
            return
        pool, name = self._pool(at), _disk_of(vnode.name)
        if name in pool.listVolumes():
            return
        xml = (
            f"<volume><name>{name}</name><capacity unit='b'>{vnode.disk_bytes}</capacity></volume>"
        )
        if vnode.image:
            pool.createXMLFrom(xml, pool.storageVolLookupByName(vnode.image), 0)
        else:
            pool.createXML(xml, 0)

    def _start(self, domain: Any) -> None:
        if not domain.isActive():
            domain.create()

    def _stop(self, domain: Any) -> None:
        if domain.isActive():
            domain.destroy()

    def _remove(self, at: Any, name: VNodeName) -> None:
        domain = self._found(at, name)
        if domain is not None:
            self._stop(domain)
            domain.undefine()
        pool = self._pool(at)
        if _disk_of(name) in pool.listVolumes():
            pool.storageVolLookupByName(_disk_of(name)).delete(0)

    def _moved_live(self, domain: Any, to: Any) -> bool:
        """Whether it runs at ``to`` now; False: the hypervisor has no live migration."""
        v = self._libvirt
        flags = v.VIR_MIGRATE_LIVE | v.VIR_MIGRATE_PERSIST_DEST | v.VIR_MIGRATE_NON_SHARED_DISK
        try:
            domain.migrate3(to, {}, flags)
        except v.libvirtError as error:
            if error.get_error_code() == v.VIR_ERR_NO_SUPPORT:
                return False
            raise
        return True

    def _condition(self, domain: Any) -> Condition:
        v = self._libvirt
        state, _ = domain.state()
        if state == v.VIR_DOMAIN_CRASHED:
            return Condition(PowerState.FAILED, "it has crashed")
        return Condition(PowerState.RUNNING if domain.isActive() else PowerState.STOPPED)

    def _pool(self, at: Any) -> Any:
        return at.storagePoolLookupByName(self._options.pool)

    def _domain(self, at: Any, name: VNodeName) -> Any:
        return at.lookupByName(f"{PREFIX}{name}")

    def _found(self, at: Any, name: VNodeName) -> Any | None:
        try:
            return self._domain(at, name)
        except self._libvirt.libvirtError as error:
            if error.get_error_code() == self._libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

    async def _do(self, host: str, work: Callable[[Any], T]) -> T:
        """The result of ``work`` with the connection to a host. Raises DeviceError."""
        if host not in self._hosts:
            raise DeviceError(f"there is no host {host}; there are: {', '.join(self._hosts)}")
        try:
            return await asyncio.to_thread(lambda: work(self._connection(host)))
        except self._libvirt.libvirtError as error:
            raise DeviceError(f"host {host}: {error}") from error

    def _connection(self, host: str) -> Any:
        known = self._connections.get(host)
        if known is None or not known.isAlive():
            uri = self._options.uris.get(host) or self._options.uri.replace("{host}", host)
            known = self._connections[host] = self._libvirt.open(uri)
        return known


class LibvirtConsole:
    """A stream of libvirt. Its reading blocks a thread until there is something."""

    def __init__(self, stream: Any, error: type[Exception]) -> None:
        self._stream, self._error = stream, error
        self._over = False

    async def read(self) -> bytes:
        """See :class:`agents.backends.hosts.port.Console`."""
        if self._over:
            return b""
        try:
            return bytes(await asyncio.to_thread(self._stream.recv, CONSOLE_CHUNK_BYTES))
        except self._error:
            self._over = True
            return b""

    async def write(self, data: bytes) -> None:
        """See :class:`agents.backends.hosts.port.Console`."""
        while data and not self._over:
            try:
                sent = await asyncio.to_thread(self._stream.send, data)
            except self._error:
                self._over = True
                return
            data = data[max(sent, 0) :]

    async def close(self) -> None:
        """See :class:`agents.backends.hosts.port.Console`."""
        if not self._over:
            self._over = True
            try:
                await asyncio.to_thread(self._stream.abort)
            except self._error:
                return


def domain_xml(vnode: VNodeSpec, options: LibvirtOptions) -> str:
    """The VNode as a domain (https://libvirt.org/formatdomain.html).

    What is more than whole processors is cut by a quota. One interface per VLink, on its VLAN.
    """
    processors = _processors(vnode)
    quota_us = max(1000, vnode.mcores * PERIOD_US // 1000 // processors)
    nics = "".join(
        f"<interface type='bridge'><source bridge={quoteattr(options.bridge)}/>"
        f"<virtualport type='openvswitch'/><vlan><tag id='{nic.vlan}'/></vlan></interface>"
        for nic in vnode.nics
    )
    disk = (
        f"<disk type='volume'><source pool={quoteattr(options.pool)} "
        f"volume={quoteattr(_disk_of(vnode.name))}/><target dev='vda' bus='virtio'/></disk>"
    )
    return (
        f"<domain type={quoteattr(options.type)}><name>{PREFIX}{vnode.name}</name>"
        f"<uuid>{uuid.uuid5(DOMAINS, str(vnode.name))}</uuid>"
        f"<memory unit='b'>{vnode.memory_bytes}</memory>"
        f"<vcpu>{processors}</vcpu>"
        f"<cputune><period>{PERIOD_US}</period><quota>{quota_us}</quota></cputune>"
        "<os><type>hvm</type></os><devices>"
        f"{disk if vnode.disk_bytes else ''}{nics}<console type='pty'/></devices></domain>"
    )


def _processors(vnode: VNodeSpec) -> int:
    return max(1, -(-vnode.mcores // 1000))


def _disk_of(name: VNodeName) -> str:
    # A volume is a file in many pools, and a colon means something in the names of some.
    return str(uuid.uuid5(DOMAINS, str(name)))


def _name_of(domain: str) -> VNodeName | None:
    """Of a domain that is ours; ids of VNodes have no colon."""
    if not domain.startswith(PREFIX):
        return None
    reservation_id, colon, vnode = domain.removeprefix(PREFIX).rpartition(":")
    return VNodeName(reservation_id, vnode) if colon else None


def _module() -> ModuleType:
    try:
        found = importlib.import_module("libvirt")
    except ImportError as error:
        raise SettingsError(
            f"cloud: plugins: libvirt: the Python module libvirt is not there ({error}); "
            "it comes with python3-libvirt, or as libvirt-python"
        ) from error
    # Otherwise it prints every error on standard error.
    found.registerErrorHandler(lambda *_: None, None)
    return found
