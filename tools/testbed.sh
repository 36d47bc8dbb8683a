#!/usr/bin/env bash
# Brings the containers of docker-compose.yml up, makes a reservation through them from outside, kills one
# of the two orchestrators, shows and cancels the reservation through the other, and takes everything down.
# Uses the running Docker engine, or that of tools/engine.sh.
#
#   tools/testbed.sh          all of the above
#   tools/testbed.sh --check  only tells whether an engine is there (exit 0), or why not (exit 1)
set -euo pipefail
cd "$(dirname "$0")/.."

export COMPOSE_PROJECT_NAME=braid-testbed BRAID_PORT=${BRAID_PORT:-7000}
export BRAID_PORT_B=${BRAID_PORT_B:-$((BRAID_PORT + 1))}
both=ipv4:127.0.0.1:$BRAID_PORT,127.0.0.1:$BRAID_PORT_B
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

# The client runs beside the containers, from outside them.
braid() {
  "${beside[@]}" env BRAID_TARGET="$both" BRAID_INSECURE=1 .venv/bin/braid "$@"
}

# json EXPRESSION: what a Python expression over the JSON on standard input, named it, gives.
json() { .venv/bin/python -c "import json, sys; it = json.load(sys.stdin); print($1)"; }

# await SECONDS WHAT COMMAND…: repeats a command until it prints True.
await() {
  local seconds=$1 what=$2
  shift 2
  for _ in $(seq "$seconds"); do
    [[ $("$@" 2>&1) == True ]] && return
    sleep 1
  done
  "${compose[@]}" ps
  "${compose[@]}" logs --tail 40
  fail "$what: not within $seconds s"
}

down() { say "down"; "${compose[@]}" down --volumes --timeout 5; }

container() { "${compose[@]}" ps -q "orchestrator-$1"; }
healthy() {
  docker inspect "$(container a)" "$(container b)" | json 'all(c["State"]["Health"]["Status"] == "healthy" for c in it)'
}
all_up() {
  braid topology show --json --target "127.0.0.1:$1" | json 'sum(d["state"] == "DOMAIN_STATE_UP" for d in it["domains"]) == 9'
}
released() { braid show "$1" --json | json 'all(part["released"] for part in it["parts"])'; }

find_engine
[[ ${1:-} != --check ]] || exit 0
find_compose
say "images"
prepare_offline
build service braid:local
trap down EXIT
say "up"
"${compose[@]}" up -d --no-build
await 120 "both orchestrators are healthy" healthy
await 30 "nine domains are up at the one" all_up "$BRAID_PORT"
await 30 "nine domains are up at the other" all_up "$BRAID_PORT_B"
braid topology show

say "a circuit that no single path can carry"
record=$(braid reserve sitea:dtn sited:dtn 150G --start +1h --duration 1h --json)
id=$(json 'it["reservation_id"]' <<<"$record")
[[ $(json 'it["state"]' <<<"$record") == RESERVATION_STATE_COMMITTED ]] || fail "not committed: $record"
[[ $(json 'len(it["paths"]) > 1' <<<"$record") == True ]] || fail "not split: $record"
braid show "$id" --target "127.0.0.1:$BRAID_PORT_B"

say "its orchestrator is killed, the other knows it"
docker kill --signal KILL "$(container a)" >/dev/null
braid show "$id"

say "and given back"
braid cancel "$id" >/dev/null
await 30 "every domain has released" released "$id"
braid show "$id"
