#!/usr/bin/env bash
# Brings the containers of docker-compose.yml up, makes a reservation through them from outside, shows and
# cancels it, and takes everything down. Uses the running Docker engine, or that of tools/engine.sh.
#
#   tools/testbed.sh          all of the above
#   tools/testbed.sh --check  only tells whether an engine is there (exit 0), or why not (exit 1)
set -euo pipefail
cd "$(dirname "$0")/.."

export COMPOSE_PROJECT_NAME=braid-testbed BRAID_PORT=${BRAID_PORT:-7000}
port=$BRAID_PORT
beside=()  # how to run a command where the published ports are

say() { printf '\n== %s\n' "$*"; }
fail() { echo "testbed: $*" >&2; exit 1; }

find_engine() {
  command -v docker >/dev/null || fail "there is no docker command"
  docker info --format '{{.ServerVersion}}' >/dev/null 2>&1 && return
  DOCKER_HOST=$(tools/engine.sh host 2>/dev/null) || fail "no Docker engine answers (docs/development.md tells of one)"
  export DOCKER_HOST
  beside=(tools/engine.sh run)
}

find_compose() {
  if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
  elif command -v docker-compose >/dev/null; then
    compose=(docker-compose)
  else
    fail "neither 'docker compose' nor docker-compose is there"
  fi
}

# Without a registry: the base image of tools/engine.sh, PostgreSQL from it, and wheels fetched out here.
prepare_offline() {
  docker image inspect braid-base:local >/dev/null 2>&1 || return 0
  [[ -z ${BASE_IMAGE:-} ]] || return 0
  export BASE_IMAGE=braid-base:local POSTGRES_IMAGE=braid-postgres:local
  local version
  version=$(docker run --rm "$BASE_IMAGE" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  mkdir -p wheelhouse
  .venv/bin/python -m pip download --quiet --dest wheelhouse --only-binary=:all: --python-version "$version" \
    --requirement deploy/requirements.lock
  .venv/bin/python -m pip download --quiet --dest wheelhouse --no-deps "$(grep -oE '^setuptools==[0-9.]+' requirements.lock)"
  build postgres "$POSTGRES_IMAGE"
}

build() { docker build --quiet --build-arg BASE_IMAGE="${BASE_IMAGE:-python:3.11-slim}" --target "$1" --tag "$2" . ; }

braid() { "${beside[@]}" .venv/bin/braid "$@"; }

down() { say "down"; "${compose[@]}" down --volumes --timeout 5; }

await_health() {
  local id
  id=$("${compose[@]}" ps -q orchestrator)
  for _ in $(seq 120); do
    [[ $(docker inspect --format '{{.State.Health.Status}}' "$id") == healthy ]] && return
    sleep 1
  done
  "${compose[@]}" ps
  "${compose[@]}" logs --tail 40
  fail "the orchestrator did not become healthy within 120 s"
}

find_engine
[[ ${1:-} != --check ]] || exit 0
find_compose
say "images"
prepare_offline
build service braid:local
trap down EXIT
say "up"
"${compose[@]}" up -d --no-build
await_health
