#!/usr/bin/env bash
# Installs the browser that tests/browser drive, from the distribution's packages, as root. Safe to repeat.
set -euo pipefail

for program in chromium chromium-browser google-chrome; do
    command -v "$program" >/dev/null && exit 0
done
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Chromium is not installed, and installing it needs root and apt-get: tests/browser will be skipped." >&2
    exit 0
fi

export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y -q -o DPkg::Lock::Timeout=120 --no-install-recommends chromium; }
log=$(mktemp)
if ! install >"$log" 2>&1; then
    # A distribution without this package is no reason to stop: the tests say what they miss.
    (apt-get update -q && install) >>"$log" 2>&1 || tail -n 3 "$log" >&2
fi
rm -f "$log"
