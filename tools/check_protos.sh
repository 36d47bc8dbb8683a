#!/usr/bin/env bash
# Fails when the checked-in generated code is not what protos/ gives.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
make --no-print-directory --silent protos PROTOS_OUT="$fresh"
if ! diff -r --brief --exclude=__init__.py --exclude=__pycache__ "$fresh/braid/v1" braid/v1; then
  echo "braid/v1 is not what protos/ gives: run make protos" >&2
  exit 1
fi
echo "braid/v1 is what protos/ gives"
