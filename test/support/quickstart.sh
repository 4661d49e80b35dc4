#!/usr/bin/env bash
# deploy/quickstart.sh from start to end, twice, in a home of its own; then everything is stopped again.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$1/quickstart
mkdir -p "$work"
# A user's own installation stays as it is, its links too.
export GANTRY_BIN_DIR=$work/bin
export HOME=$work XDG_STATE_HOME=$work/state XDG_CACHE_HOME=$work/cache XDG_CONFIG_HOME=$work/config
unset GANTRY_CONFIG
trap 'PATH=$GANTRY_BIN_DIR:$PATH gantry down >&2 || true' EXIT
for round in first second; do
  begun=$(date +%s)
  deploy/quickstart.sh
  echo "the $round quickstart took $(($(date +%s) - begun)) s"
  archive=$(find "$work/cache/gantry/python-web-app/artifacts" -name shortener.pyz)
  [ -s "$archive" ] || { echo "no shortener.pyz was fetched"; exit 1; }
  python3 "$archive" --help | grep -q 'link shortener'
done
