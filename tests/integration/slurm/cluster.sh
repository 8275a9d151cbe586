#!/bin/bash
# A SLURM cluster on one machine, for the tests. The controller and each node are hosts of their own: a network
# namespace with one address on a bridge, a host name, and an /etc/hosts that knows no other host.
#
#   cluster.sh start DIR NODES    export SLURM_CONF=DIR/slurm.conf, and sbatch, squeue and scontrol work
#   cluster.sh fail DIR I         the power of node I goes: its link first, so that nobody is told
#   cluster.sh boot DIR I         it is back
#   cluster.sh stop DIR
#
# Needs root, iproute2, util-linux, munge and SLURM. Everything lies below DIR; several clusters do not meet.
set -euo pipefail

verb=$1
dir=$(realpath -m "$2")
export SLURM_CONF=$dir/slurm.conf

in_host() { # NAME COMMAND…: in place of this shell. Not by `ip netns exec`, which hides /sys/fs/cgroup from slurmd
    local name=$1
    shift
    exec nsenter --net="/run/netns/$tag-$name" unshare --uts --mount \
        sh -ec 'hostname "$1"; mount --bind "$2" /etc/hosts; shift 2; exec "$@"' \
        sh "$name" "$dir/hosts.$name" "$@" </dev/null >>"$dir/log/$name.out" 2>&1
}

add_host() { # NAME NUMBER
    printf '127.0.0.1 localhost\n%s.%s %s\n' "$net" "$2" "$1" >"$dir/hosts.$1"
    ip netns add "$tag-$1"
    ip link add "$tag-$1" type veth peer name eth0 netns "$tag-$1"
    ip link set "$tag-$1" master "$tag" up
    ip -n "$tag-$1" addr add "$net.$2/24" dev eth0
    ip -n "$tag-$1" link set eth0 up
    ip -n "$tag-$1" link set lo up
}

configuration() { # NODES
    cat <<END
ClusterName=tests
SlurmctldHost=c0($net.200)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits for as long as its old credential may live; munge takes nothing below 6 seconds.
AuthInfo=socket=$dir/munge.sock,cred_expire=6
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/c0.pid
SlurmdPidFile=$dir/%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
JobRequeue=1
ReturnToService=2
SlurmdTimeout=6
KillWait=15
MinJobAge=3600
SlurmdParameters=config_overrides
GresTypes=gpu
PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
    local i
    for i in $(seq 1 "$1"); do # the last ones are chosen last: they stand by for one that fails
        echo "NodeName=n$i NodeAddr=$net.$i CPUs=4 RealMemory=4000 Gres=gpu:2 Weight=$i"
    done
}

start() { # NODES
    local nodes=$1 i
    mkdir -p "$dir"/{log,state,spool}
    tag=am$$
    net=10.$((128 + ($$ >> 8) % 127)).$(($$ % 256))
    printf 'tag=%s\nnet=%s\nnodes=%s\n' "$tag" "$net" "$nodes" >"$dir/names"
    ip link add "$tag" type bridge
    ip addr add "$net.254/24" dev "$tag"
    ip link set "$tag" up
    add_host c0 200
    for i in $(seq 1 "$nodes"); do
        add_host "n$i" "$i"
        mkdir "$dir/spool/n$i"
    done
    configuration "$nodes" >"$SLURM_CONF"
    touch "$dir/gpu0" "$dir/gpu1" # plain files, in place of devices
    echo "Name=gpu File=$dir/gpu[0-1]" >"$dir/gres.conf"
    (umask 077 && head -c 128 /dev/urandom >"$dir/munge.key")
    setsid munged --foreground --force --key-file="$dir/munge.key" --socket="$dir/munge.sock" \
        --pid-file="$dir/munged.pid" --log-file="$dir/log/munged.log" --seed-file="$dir/munged.seed" \
        </dev/null >>"$dir/log/munged.out" 2>&1 &
    echo $! >>"$dir/daemons"
    wait_for "munged" test -S "$dir/munge.sock"
    (in_host c0 setsid slurmctld -D -i -f "$SLURM_CONF") &
    echo $! >>"$dir/daemons"
    for i in $(seq 1 "$nodes"); do boot "$i"; done
    wait_for "$nodes idle nodes" idle "$nodes"
}

idle() { [ "$(sinfo --noheader --states=idle --format=%D 2>/dev/null)" = "$1" ]; }

wait_for() { # WHAT COMMAND…
    local what=$1
    shift
    for _ in $(seq 1 200); do
        "$@" && return
        sleep 0.1
    done
    echo "no $what after 20 seconds" >&2
    tail -n 20 "$dir"/log/* >&2
    return 1
}

boot() { # I
    ip link set "$tag-n$1" up
    (in_host "n$1" setsid slurmd -D -N "n$1" -f "$SLURM_CONF") &
    echo $! >>"$dir/daemons"
}

fail() { # I
    ip link set "$tag-n$1" down
    end_all "$tag-n$1"
}

end_all() { # NAMESPACE
    local pids
    for _ in $(seq 1 50); do
        pids=$(ip netns pids "$1" 2>/dev/null) || return 0
        [ -z "$pids" ] && return
        # shellcheck disable=SC2086
        kill -KILL $pids 2>/dev/null || true
        sleep 0.1
    done
}

stop() {
    local pid name
    scancel --user=root 2>/dev/null || true
    for pid in $(cat "$dir/daemons" 2>/dev/null); do # that number may be another's by now
        grep -q "$dir" "/proc/$pid/cmdline" 2>/dev/null && kill "$pid" || true
    done
    for name in c0 $(seq -f n%g 1 "$nodes"); do
        end_all "$tag-$name"
        ip netns del "$tag-$name" 2>/dev/null || true
    done
    ip link del "$tag" 2>/dev/null || true
}

if [ "$verb" != start ]; then
    [ -e "$dir/names" ] || exit 0 # it never came up
    # shellcheck disable=SC1091
    . "$dir/names"
fi
shift 2
"$verb" "$@"
