"""Slurm on hosts of our own: a controller, from which jobs are submitted, and compute nodes.

The programs are Debian's (slurmctld, slurmd, slurm-client, munge). Nodes have two CPUs each and a
GPU that is none: Slurm counts it, and nothing is behind it. /srv is one folder for all hosts.
"""

import secrets
from pathlib import Path

from machines import NETWORK, Host, Network

TOOLS = ("munged", "sbatch", "slurmctld", "slurmd", "srun")
PACKAGES = "iproute2, munge, slurm-client, slurmctld, slurmd"
SHARED = "/srv"
CONTROLLER = "controller"

START = """
mount --bind /run/seen{shared} /srv
mount -o remount,bind,rw /srv
printf '{hosts}' > /run/hosts
mount --bind /run/hosts /etc/hosts
mkdir -p -m 755 /run/munge /run/slurm/state /run/slurm/spool
umask 077
cp /srv/slurm/munge.key /run/munge/key
umask 022
munged --key-file=/run/munge/key --seed-file=/run/munge/seed \
  --pid-file=/run/munge/pid --log-file=/run/munge/log
exec {daemon} -D -f /srv/slurm/slurm.conf
"""

# `linuxproc`, `none`: this needs no cgroups. Jobs of the partition `urgent` take nodes from others.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
GresTypes=gpu
StateSaveLocation=/run/slurm/state
SlurmdSpoolDir=/run/slurm/spool
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmdPidFile=/run/slurm/slurmd.pid
ReturnToService=2
SchedulerParameters=sched_interval=5,bf_interval=5,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 OverSubscribe=NO
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=10 OverSubscribe=NO
"""


class Slurm(Network):
    """A context manager: within it Slurm runs, and `controller` takes jobs."""

    up = "started"

    def __init__(self, folder: Path, environment: dict[str, str], nodes: int = 2) -> None:
        super().__init__(folder, {**environment, "SLURM_CONF": f"{SHARED}/slurm/slurm.conf"})
        self.nodes = [f"node{number}" for number in range(1, nodes + 1)]
        names = [CONTROLLER, *self.nodes]
        self.addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(names, 1)}
        self.shared = folder / "shared"
        self.seen.append(str(self.shared))

    def prepare(self) -> None:
        slurm = self.shared / "slurm"
        slurm.mkdir(parents=True)
        (slurm / "munge.key").write_bytes(secrets.token_bytes(128))
        nodes = "\n".join(
            f"NodeName={name} NodeAddr={self.addresses[name]} CPUs=2 RealMemory=4000 Gres=gpu:1"
            for name in self.nodes
        )
        controller = f"{CONTROLLER}({self.addresses[CONTROLLER]})"
        (slurm / "slurm.conf").write_text(CONFIGURATION.format(controller=controller, nodes=nodes))
        (slurm / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (slurm / "gres.conf").write_text("Name=gpu File=/dev/null\n")

    def service(self, host: Host) -> str:
        return START.format(
            shared=self.shared,
            hosts="".join(f"{address} {name}\\n" for name, address in self.addresses.items()),
            daemon="slurmctld" if host.name == CONTROLLER else "slurmd",
        )

    def __enter__(self) -> "Slurm":
        super().__enter__()
        try:
            self.controller, *_ = [self.host(name) for name in self.addresses]
        except BaseException:
            self.__exit__()
            raise
        return self
