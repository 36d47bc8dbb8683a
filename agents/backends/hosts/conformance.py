"""What every plugin for hosts must do, for the tests of whoever writes one.

    await check_hosts(make(hosts, {...}), "h1", "h2")
    await check_carrying(make(hosts, {...}), "h1", "h2")    # where VNodes can be carried away
    await check_live(make(hosts, {...}), "h1", "h2")        # with what they have in memory

Raises AssertionError, which says what is wrong.
"""

from __future__ import annotations

from agents.backends.base import DeviceError
from agents.backends.hosts.port import (
    Carried,
    CarryingPlugin,
    HostPlugin,
    LiveCarryingPlugin,
    NeverError,
    PowerState,
    VNodeName,
    VNodeSpec,
)

NAME = VNodeName("conformance", "a")
OTHER = VNodeName("conformance", "b")
TWICE = range(2)


async def check_hosts(plugin: HostPlugin, source: str, target: str, image: str = "") -> None:
    """On two hosts that have nothing and room for two VNodes of one core and 64 MiB."""
    spec = VNodeSpec(NAME, 1000, 64 << 20, 1 << 20, image)
    for _ in TWICE:
        await plugin.prepare(source, image)
    for _ in TWICE:
        await plugin.ensure(source, spec)
    await _is(plugin, source, PowerState.STOPPED, "made, and not started")
    for _ in TWICE:
        await plugin.start(source, NAME)
    await _is(plugin, source, PowerState.RUNNING, "started")
    await plugin.ensure(source, VNodeSpec(NAME, 500, 32 << 20, 1 << 20, image))
    await _is(plugin, source, PowerState.RUNNING, "resized")
    await plugin.cycle(source, NAME)
    await _is(plugin, source, PowerState.RUNNING, "power-cycled")
    await plugin.ensure(source, VNodeSpec(OTHER, 1000, 64 << 20, 1 << 20, image))
    for _ in TWICE:
        await plugin.migrate(source, target, spec)
    await _is(plugin, source, PowerState.GONE, "migrated away")
    await _is(plugin, target, PowerState.RUNNING, "migrated as it ran")
    found = {host: set(await plugin.found(host)) for host in (source, target)}
    assert found == {source: {OTHER}, target: {NAME}}, f"found: {found}"
    for _ in TWICE:
        await plugin.stop(target, NAME)
    await plugin.migrate(target, source, spec)
    await _is(plugin, source, PowerState.STOPPED, "migrated while stopped")
    for _ in TWICE:
        await plugin.remove(source, NAME)
        await plugin.remove(source, OTHER)
        await plugin.discard(source, image)
    for host in (source, target):
        left = await plugin.found(host)
        assert not left, f"{host} still has {', '.join(map(str, left))}"


async def check_carrying(plugin: CarryingPlugin, source: str, target: str, image: str = "") -> None:
    """Of a plugin whose VNodes can be carried: what one exports another can import, again too."""
    spec = VNodeSpec(NAME, 1000, 64 << 20, 1 << 20, image)
    await plugin.ensure(source, spec)
    first = await plugin.export(source, NAME)
    for _ in TWICE:
        again = await plugin.export(source, NAME)
        assert again.format == first.format, f"the format changes: {first.format}, {again.format}"
        await plugin.import_(target, spec, again)
        await _is(plugin, target, PowerState.STOPPED, "imported")
    await _is(plugin, source, PowerState.STOPPED, "exported")
    try:
        await plugin.import_(source, spec, Carried("of nobody", first.data))
    except NeverError:
        pass
    else:
        raise AssertionError("it imports a format that nobody knows")
    await plugin.start(target, NAME)
    await _is(plugin, target, PowerState.RUNNING, "started after it was imported")
    for host in (source, target):
        await plugin.remove(host, NAME)


async def check_live(plugin: LiveCarryingPlugin, source: str, target: str, image: str = "") -> None:
    """Of a plugin whose VNodes can be carried as they run: copies, a pause, and either end."""
    spec = VNodeSpec(NAME, 1000, 64 << 20, 1 << 20, image)
    await plugin.ensure(source, spec)
    await plugin.pause(source, NAME)
    await _is(plugin, source, PowerState.STOPPED, "paused though it does not run")
    await plugin.start(source, NAME)
    for _ in TWICE:
        since = await plugin.kept(target, NAME)
        copy = await plugin.copy(source, NAME, since)
        assert copy.memory, "what runs is copied without its memory"
        assert copy.since in ("", since), "it builds on another copy than was said"
        await plugin.keep(target, spec, copy)
        assert await plugin.kept(target, NAME) == copy.mark, "another copy is kept"
    await _is(plugin, source, PowerState.RUNNING, "copied")
    await _is(plugin, target, PowerState.GONE, "only kept")
    assert not await plugin.found(target), "what is only kept is found"
    whole = await plugin.copy(source, NAME, "of nobody")
    assert not whole.since, "it builds on a copy that nobody has"
    for _ in TWICE:
        await plugin.pause(source, NAME)
    await _is(plugin, source, PowerState.PAUSED, "paused")
    await plugin.keep(
        target, spec, await plugin.copy(source, NAME, await plugin.kept(target, NAME))
    )
    await plugin.make(target, spec)
    await _is(plugin, target, PowerState.PAUSED, "made of what was kept")
    await _is(plugin, source, PowerState.PAUSED, "copied while it was paused")
    # Either end may go on: it is put back, and carried once more in place of what has come.
    await plugin.start(source, NAME)
    await _is(plugin, source, PowerState.RUNNING, "put back")
    await plugin.pause(source, NAME)
    await plugin.keep(target, spec, await plugin.copy(source, NAME, ""))
    await plugin.make(target, spec)
    await plugin.remove(source, NAME)
    await plugin.start(target, NAME)
    await _is(plugin, target, PowerState.RUNNING, "started after it was made")
    await _drops(plugin, source, target, spec)


async def _drops(plugin: LiveCarryingPlugin, source: str, target: str, spec: VNodeSpec) -> None:
    """That what is kept is dropped, and that copies are taken only where they belong."""
    first = await plugin.copy(target, NAME, "")
    again = await plugin.copy(target, NAME, first.mark)
    if again.since:
        try:
            await plugin.keep(source, spec, again)
        except DeviceError:
            pass
        else:
            raise AssertionError("it keeps what builds on a copy that is not there")
    await plugin.keep(source, spec, await plugin.copy(target, NAME, ""))
    for host in (source, target):
        await plugin.remove(host, NAME)
        assert not await plugin.kept(host, NAME), "what was kept outlives what is removed"
    try:
        await plugin.make(source, spec)
    except DeviceError:
        pass
    else:
        raise AssertionError("it makes a VNode of nothing")


async def _is(plugin: HostPlugin, host: str, state: PowerState, when: str) -> None:
    condition = await plugin.condition(host, NAME)
    assert condition.state is state, f"{when}: it is {condition.state.value}, not {state.value}"
