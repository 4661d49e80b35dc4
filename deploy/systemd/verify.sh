#!/usr/bin/env bash
# Checks the units beside this file with systemd's own verifier, against the programs of this checkout.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for unit in *.service; do
  sed -e "s#/usr/local/bin/gantry-agent#$PWD/../../dist/agent/main.js#" -e "s#/usr/local/bin/gantry#$PWD/../../dist/coordinator/cli/main.js#" \
    "$unit" >"$work/$unit"
done
# docker.service and network-online.target may not exist where this runs: only what is said about our units counts.
output=$(systemd-analyze verify --man=no "$work"/*.service 2>&1) || true
if problems=$(grep "$work\|gantry" <<<"$output" | grep -v 'docker.service'); then
  printf '%s\n' "$problems"
  exit 1
fi
