"""Hosts of libvirt, against the test driver that it brings along: test:///."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from cloud_site import GIB, SWITCHES, WIRING, mapped, on, placement, vnode
from hypothesis import given, strategies as st

from agents.backends.base import DeviceError
from agents.backends.hosts.conformance import check_hosts
from agents.backends.hosts.embedder import Embedder, open_embedder
from agents.backends.hosts.plugins import HostingSettings
from agents.backends.hosts.port import HostSpec, Nic, PowerState, VNodeName, VNodeSpec
from agents.backends.hosts.virt import LibvirtConsole, LibvirtHosts, LibvirtOptions, domain_xml
from runtime.settings import SettingsError

WEB = VNodeName("r1", "web")
SPEC = VNodeSpec(WEB, 1500, GIB, 10**9, "debian", (Nic("l1", 100), Nic("l2", 101)))
NODE = """<node><cpu><mhz>3000</mhz><model>x86_64</model><active>8</active><nodes>1</nodes>
<sockets>1</sockets><cores>8</cores><threads>1</threads></cpu><memory>33554432</memory>
<pool type='dir'><name>disks</name><target><path>/disks</path></target>
<volume><name>debian</name><capacity unit='b'>1000</capacity></volume></pool></node>"""


@pytest.fixture
def libvirt() -> Any:
    return pytest.importorskip("libvirt", reason="libvirt's Python module is not there")


@pytest.fixture
def options(libvirt: Any, tmp_path: Path) -> LibvirtOptions:
    """Three hosts: the test driver reads what each has from a file."""
    uris = {}
    for host in ("h1", "h2", "h3"):
        path = tmp_path / f"{host}.xml"
        path.write_text(NODE)
        uris[host] = f"test://{path}"
    return LibvirtOptions(uris=uris, type="test", pool="disks")


def hosts(options: LibvirtOptions) -> LibvirtHosts:
    specs = [HostSpec(name, "/node/host/kvm", 8000, 16 * GIB, 100 * GIB) for name in options.uris]
    return LibvirtHosts(specs, options)


async def test_a_vnode_is_made_run_changed_and_removed_and_nothing_stays(
    options: LibvirtOptions,
) -> None:
    found = hosts(options)
    for _ in range(2):
        await found.ensure("h1", SPEC)
    assert (await found.condition("h1", WEB)).state is PowerState.STOPPED
    for _ in range(2):
        await found.start("h1", WEB)
    assert (await found.condition("h1", WEB)).state is PowerState.RUNNING
    at = found._connection("h1")
    began = at.lookupByName("braid:r1:web").ID()
    await found.ensure("h1", VNodeSpec(WEB, 500, GIB // 2, 10**9, "debian"))
    domain = at.lookupByName("braid:r1:web")
    assert domain.ID() == began, "it went on running"
    assert domain.info()[2] == GIB // 2 // 1024
    await found.cycle("h1", WEB)
    assert at.lookupByName("braid:r1:web").ID() != began
    for _ in range(2):
        await found.stop("h1", WEB)
    assert (await found.found("h1")).keys() == {WEB}
    disks = at.storagePoolLookupByName("disks")
    await found.prepare("h1", "debian")
    assert len(disks.listVolumes()) == 2, "the image and a disk"
    for _ in range(2):
        await found.remove("h1", WEB)
        await found.discard("h1", "debian")
    assert (await found.condition("h1", WEB)).state is PowerState.GONE
    assert await found.found("h1") == {}
    assert disks.listVolumes() == ["debian"]


async def test_it_does_what_a_plugin_must(options: LibvirtOptions) -> None:
    await check_hosts(hosts(options), "h1", "h2", "debian")


async def test_a_new_plugin_finds_what_is_there_by_its_name(libvirt: Any) -> None:
    """With test:///default, whose domains are all connections' of a process."""
    one = LibvirtOptions(uri="test:///default", type="test", pool="default-pool")
    spec = [HostSpec("h1", "/node/host/kvm", 8000, 16 * GIB, 100 * GIB)]
    first = LibvirtHosts(spec, one)
    plain = VNodeSpec(WEB, 1000, GIB, 0)
    await first.ensure("h1", plain)
    await first.start("h1", WEB)
    again = LibvirtHosts(spec, one)
    assert {n: c.state for n, c in (await again.found("h1")).items()} == {WEB: PowerState.RUNNING}
    await again.remove("h1", WEB)
    assert await first.found("h1") == {}


async def test_where_the_driver_cannot_migrate_it_is_begun_at_the_target_and_then_removed(
    options: LibvirtOptions,
) -> None:
    found = hosts(options)
    await found.ensure("h1", SPEC)
    await found.start("h1", WEB)
    for _ in range(2):
        await found.migrate("h1", "h2", SPEC)
    assert (await found.condition("h2", WEB)).state is PowerState.RUNNING
    assert await found.found("h1") == {}
    await found.stop("h2", WEB)
    await found.migrate("h2", "h1", SPEC)
    assert (await found.condition("h1", WEB)).state is PowerState.STOPPED


async def test_what_libvirt_says_is_told_plainly(options: LibvirtOptions) -> None:
    found = hosts(options)
    with pytest.raises(DeviceError, match="host h1: Domain not found"):
        await found.start("h1", WEB)
    with pytest.raises(DeviceError, match="there is no host h9"):
        await found.start("h9", WEB)
    with pytest.raises(DeviceError, match=r"host h1: .*no-such-image"):
        await found.prepare("h1", "no-such-image")
    with pytest.raises(DeviceError, match=r"host h1: .*no-such-image"):
        await found.ensure("h1", VNodeSpec(WEB, 1000, GIB, 10**9, "no-such-image"))
    await found.ensure("h1", SPEC)
    await found.start("h1", WEB)
    with pytest.raises(DeviceError, match="not supported by the connection driver"):
        await found.console("h1", WEB)


async def test_an_embedder_modifies_and_tears_down_on_libvirt(options: LibvirtOptions) -> None:
    chosen = {"plugin": "libvirt", **options.model_dump()}
    specs = [HostSpec(name, "/node/host/kvm", 8000, 16 * GIB, 100 * GIB) for name in options.uris]
    plugins = HostingSettings(plugins={"/node/host/kvm": chosen})
    made = open_embedder(specs, SWITCHES, WIRING, plugins)
    old = mapped(vnode("a", "h1", image="debian"), vnode("b", "h2"), vlinks=(("a", "b", 100),))
    new = mapped(vnode("a", "h1", image="debian"), vnode("b", "h3"), vnode("c", "h2"), version=2)
    await made.provision("t1/p1", placement(old))
    assert await on(made) == {"h1": {"r1:a": "running"}, "h2": {"r1:b": "running"}, "h3": {}}
    made = Embedder(made.hosts, made.fabric)
    await made.provision("t2/p1", placement(new))
    await made.withdraw("t1/p1", placement(old))
    assert await on(made) == {
        "h1": {"r1:a": "running"},
        "h2": {"r1:c": "running"},
        "h3": {"r1:b": "running"},
    }
    await made.withdraw("t2/p1", placement(new))
    assert await on(made) == {"h1": {}, "h2": {}, "h3": {}}


# --- Without libvirt ----------------------------------------------------------------------------


def test_without_libvirt_the_plugin_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(SettingsError, match="the Python module libvirt is not there"):
        LibvirtHosts([], LibvirtOptions())


@given(st.integers(1, 64_000))
def test_a_domain_may_use_what_it_asked_for_of_its_processors(mcores: int) -> None:
    root = ET.fromstring(domain_xml(VNodeSpec(WEB, mcores, GIB, 0), LibvirtOptions()))
    processors = int(root.findtext("vcpu") or 0)
    quota = int(root.findtext("cputune/quota") or 0)
    assert processors == -(-mcores // 1000)
    assert processors * quota / 100_000 == pytest.approx(mcores / 1000, abs=0.01 * processors)


def test_a_domain_has_its_disk_and_an_interface_on_the_vlan_of_each_vlink() -> None:
    root = ET.fromstring(domain_xml(SPEC, LibvirtOptions(bridge="br-<data>")))
    assert [tag.get("id") for tag in root.findall(".//interface/vlan/tag")] == ["100", "101"]
    assert {s.get("bridge") for s in root.findall(".//interface/source")} == {"br-<data>"}
    assert root.findtext("name") == "braid:r1:web"
    assert len(root.findall(".//disk")) == 1
    other = ET.fromstring(domain_xml(VNodeSpec(VNodeName("r1", "db"), 1, 1, 0), LibvirtOptions()))
    assert root.findtext("uuid") != other.findtext("uuid")


class _Stream:
    """As libvirt's streams behave: ``send`` may take a part, an end is an error."""

    def __init__(self, said: list[bytes]) -> None:
        self.said, self.heard, self.ended = said, b"", False

    def recv(self, size: int) -> bytes:
        if not self.said:
            raise OSError("end of file")
        return self.said.pop(0)[:size]

    def send(self, data: bytes) -> int:
        if self.ended:
            raise OSError("end of file")
        self.heard += data[:3]
        return len(data[:3])

    def abort(self) -> None:
        self.ended = True


async def test_a_console_is_a_stream_of_libvirt() -> None:
    stream = _Stream([b"hello", b"there"])
    console = LibvirtConsole(stream, OSError)
    await console.write(b"uptime\r")
    assert stream.heard == b"uptime\r"
    assert [await console.read() for _ in range(4)] == [b"hello", b"there", b"", b""]
    other = _Stream([b"x"])
    console = LibvirtConsole(other, OSError)
    await console.close()
    assert other.ended
    await console.write(b"into the void")
    assert (await console.read(), other.heard) == (b"", b"")
