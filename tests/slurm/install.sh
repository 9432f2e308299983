#!/usr/bin/env bash
# Installs what a single-node SLURM needs, from the distribution's packages, as root. Nothing is started: the tests start
# their own daemons with their own configuration (cluster.py) and stop them again. Safe to repeat.
set -euo pipefail

missing=()
for program in slurmctld slurmd sbatch munged; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || missing+=("$program")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "SLURM is not installed (${missing[*]}), and installing it needs root and apt-get: tests/slurm will be skipped." >&2
    exit 0
fi

# While the packages are being installed, nothing may start a daemon; somebody's own policy is put back.
policy=/usr/sbin/policy-rc.d
if [ -e "$policy" ]; then mv "$policy" "$policy.before"; fi
restore() { rm -f "$policy"; if [ -e "$policy.before" ]; then mv "$policy.before" "$policy"; fi; }
trap restore EXIT
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod +x "$policy"

export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y -q -o DPkg::Lock::Timeout=120 --no-install-recommends slurmctld slurmd slurm-client munge; }
log=$(mktemp)
if ! install >"$log" 2>&1; then
    apt-get update -q >>"$log" 2>&1 && install >>"$log" 2>&1 || { cat "$log" >&2; exit 1; }
fi
rm -f "$log"
