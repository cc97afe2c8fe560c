#!/usr/bin/env bash
# Stop what slurm-up.sh started, by its pid files, and remove the configuration that it wrote.
set -uo pipefail
HOME_DIR=${SLURM_HOME:-${TMPDIR:-/tmp}/mriqa-test-slurm}
MARK="# written by mriqa tests/cluster/slurm-up.sh"
ours() { [ -e "$1" ] && grep -qF "$MARK" "$1"; }
ours /etc/slurm/slurm.conf || exit 0

stop() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep .1; done
  kill -9 "$pid" 2>/dev/null
  rm -f "$1"
}
scancel -u "$(id -un)" 2>/dev/null
sleep 1
for file in "$HOME_DIR"/run/slurmd-*.pid "$HOME_DIR"/run/slurmctld.pid "$HOME_DIR"/run/munged.pid; do
  [ -e "$file" ] && stop "$file"
done
for file in /etc/slurm/slurm.conf /etc/slurm/cgroup.conf; do ours "$file" && rm -f "$file"; done
rm -rf "$HOME_DIR"
exit 0
