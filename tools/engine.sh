#!/usr/bin/env bash
# A Docker engine for a machine that has none running: confined to a network namespace of its own, so that
# it leaves the machine's firewall alone, with a base image made by debootstrap instead of a registry.
#
#   tools/engine.sh up        start the engine (root; Debian's docker.io, docker-compose, debootstrap, iproute2)
#   tools/engine.sh base      make the base image braid-base:local (Debian with Python and PostgreSQL)
#   tools/engine.sh host      print what DOCKER_HOST must be; fails when the engine is not running
#   tools/engine.sh run CMD…  run a command inside the namespace, where the containers' ports are
#   tools/engine.sh down      stop the engine and remove the namespace
#
# State is kept in $BRAID_ENGINE_DIR (default: ~/.cache/braid/engine).
set -euo pipefail

state=${BRAID_ENGINE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/braid/engine}
namespace=braid-engine
socket=$state/docker.sock
base_image=braid-base:local
packages=python3,python3-venv,ca-certificates,postgresql

fail() { echo "engine: $*" >&2; exit 1; }

inside() { nsenter --net="/run/netns/$namespace" env DOCKER_HOST="unix://$socket" "$@"; }

running() { [[ -S $socket ]] && inside docker info >/dev/null 2>&1; }

up() {
  [[ $(id -u) == 0 ]] || fail "must be root to start an engine"
  for tool in dockerd docker ip nsenter; do
    command -v "$tool" >/dev/null || fail "$tool is missing (Debian: docker.io, iproute2)"
  done
  running && return
  mkdir -p "$state"
  ip netns list | grep -qw "$namespace" || ip netns add "$namespace"
  ip -n "$namespace" link set lo up
  # nsenter and not "ip netns exec": that one hides the cgroups, and the engine fails.
  nsenter --net="/run/netns/$namespace" dockerd \
    --data-root "$state/data" --exec-root "$state/exec" --pidfile "$state/pid" -H "unix://$socket" \
    --storage-driver overlay2 --ip6tables=false --bip 10.231.0.1/24 \
    --default-address-pool base=10.232.0.0/16,size=24 >"$state/log" 2>&1 </dev/null &
  for _ in $(seq 100); do running && return; sleep 0.1; done
  tail -n 20 "$state/log" >&2
  fail "the engine did not start within 10 s"
}

base() {
  running || fail "not running; start it with: $0 up"
  inside docker image inspect "$base_image" >/dev/null 2>&1 && return
  command -v debootstrap >/dev/null || fail "debootstrap is missing (Debian: debootstrap)"
  local root=$state/root
  rm -rf "$root"
  debootstrap --variant=minbase --include="$packages" bookworm "$root" >"$state/debootstrap.log"
  tar -C "$root" -c . | inside docker import - "$base_image"
  rm -rf "$root"
}

down() {
  if [[ -f $state/pid ]]; then
    local pid
    pid=$(<"$state/pid")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  fi
  if ip netns list | grep -qw "$namespace"; then ip netns delete "$namespace"; fi
}

case ${1:-} in
  up | base | down) "$1" ;;
  host) running || fail "not running; start it with: $0 up"; echo "unix://$socket" ;;
  run) shift; running || fail "not running; start it with: $0 up"; inside "$@" ;;
  *) fail "usage: $0 up | base | host | run CMD… | down" ;;
esac
