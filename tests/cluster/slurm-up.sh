#!/usr/bin/env bash
# Bring up a real SLURM with virtual nodes on this one machine (Debian or Ubuntu, root, no systemd).
# For throwaway machines only: it installs packages and writes /etc/slurm. It refuses to without
# MRIQA_ALLOW_TEST_SLURM=1, and where there is a slurm.conf that it did not write itself.
#   SLURM_HOME   folder for state, logs, pids (default: a folder in TMPDIR)
#   SLURM_NODES  number of virtual nodes n1, n2, ... (2)     SLURM_CPUS  CPUs that each offers (2)
set -euo pipefail
HOME_DIR=${SLURM_HOME:-${TMPDIR:-/tmp}/mriqa-test-slurm}
NODES=${SLURM_NODES:-2} CPUS=${SLURM_CPUS:-2} MEMORY_MB=${SLURM_MEMORY_MB:-8000}
CONF=/etc/slurm/slurm.conf
MARK="# written by mriqa tests/cluster/slurm-up.sh"

refuse() { echo "slurm-up.sh: $*" >&2; exit 3; }
[ "${MRIQA_ALLOW_TEST_SLURM:-}" = 1 ] || refuse "set MRIQA_ALLOW_TEST_SLURM=1 on a throwaway machine"
[ "$(id -u)" = 0 ] || refuse "needs root"
if [ -e "$CONF" ] && ! grep -qF "$MARK" "$CONF"; then
  refuse "$CONF is not ours: this machine belongs to a cluster"
fi

if ! command -v slurmctld >/dev/null || ! command -v slurmd >/dev/null || ! command -v munged >/dev/null; then
  command -v apt-get >/dev/null || refuse "no SLURM here and no apt-get to install it with"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge; } \
    >"${TMPDIR:-/tmp}/mriqa-test-slurm-apt.log" 2>&1 || refuse "slurm-wlm cannot be installed"
  # the package may start nothing, but it may bring a configuration
  [ -e "$CONF" ] && ! grep -qF "$MARK" "$CONF" && refuse "$CONF came with the package"
fi

mkdir -p "$HOME_DIR"/{state,log,run,spool} /etc/slurm
if ! munge -n </dev/null >/dev/null 2>&1; then
  install -d -o munge -g munge -m 0755 /run/munge
  if [ ! -s /etc/munge/munge.key ]; then
    dd if=/dev/urandom of=/etc/munge/munge.key bs=128 count=1 status=none
    chown munge:munge /etc/munge/munge.key && chmod 400 /etc/munge/munge.key
  fi
  setpriv --reuid=munge --regid=munge --init-groups /usr/sbin/munged
  for _ in $(seq 50); do munge -n </dev/null >/dev/null 2>&1 && break; sleep .1; done
  cp /run/munge/munged.pid "$HOME_DIR/run/munged.pid"
fi

HOST=$(hostname -s)
{
  cat <<CONF_END
$MARK
ClusterName=mriqatest
SlurmctldHost=$HOST
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
SlurmctldPort=6817
StateSaveLocation=$HOME_DIR/state
SlurmdSpoolDir=$HOME_DIR/spool/%n
SlurmctldPidFile=$HOME_DIR/run/slurmctld.pid
SlurmdPidFile=$HOME_DIR/run/slurmd-%n.pid
SlurmctldLogFile=$HOME_DIR/log/slurmctld.log
SlurmdLogFile=$HOME_DIR/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=5,sched_min_interval=0
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=30
MinJobAge=300
KillWait=5
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$HOME_DIR/log/jobcomp.txt
CONF_END
  for number in $(seq "$NODES"); do
    echo "NodeName=n$number NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((17000 + number))" \
      "CPUs=$CPUS Boards=1 SocketsPerBoard=1 CoresPerSocket=$CPUS ThreadsPerCore=1" \
      "RealMemory=$MEMORY_MB State=UNKNOWN"
  done
  echo "PartitionName=main Nodes=n[1-$NODES] Default=YES MaxTime=INFINITE DefMemPerCPU=500 State=UP"
} >"$CONF"
{ echo "$MARK"; echo "CgroupAutomount=no"; } >/etc/slurm/cgroup.conf

slurmctld
for _ in $(seq 100); do scontrol ping 2>/dev/null | grep -q UP && break; sleep .1; done
for number in $(seq "$NODES"); do mkdir -p "$HOME_DIR/spool/n$number"; slurmd -N "n$number"; done
idle() { sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l; }
for _ in $(seq 150); do [ "$(idle)" = "$NODES" ] && break; sleep .2; done
[ "$(idle)" = "$NODES" ] || { tail -5 "$HOME_DIR"/log/*.log >&2; refuse "the nodes did not come up"; }
sinfo -N -l
