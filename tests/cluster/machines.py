"""Machines for the tests: network namespaces with a service, each a host with its own address.

A host has a private /tmp, /dev/shm, /run and home, its own processes, and sees the rest of this
machine's files read-only, so that it needs nothing installed. All hosts hang on one bridge. None
has a route to anywhere else: whatever runs in one cannot reach beyond the test.
"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
NETWORK = "10.98.77"
NAMESPACES = ("ip", "nsenter", "ps", "setpriv", "unshare")
SSH = ("rsync", "ssh", "ssh-keygen", "sshd")

INIT = """
set -e
mount --make-rprivate /
mount -t tmpfs host /run
seen="{seen}"
for folder in $seen; do mkdir -p /run/seen$folder; mount --bind $folder /run/seen$folder; done
for folder in /root /tmp /dev/shm; do mount -t tmpfs -o mode=1777 host $folder; done
for folder in $seen; do
  mkdir -p $folder; mount --bind /run/seen$folder $folder; mount -o remount,bind,ro $folder
done
chmod 700 /root
hostname {name}
cat > /root/.bashrc <<'END'
{bashrc}
END
echo '. ~/.bashrc' > /root/.bash_profile
{service}
"""

SSHD = """
mkdir /run/sshd
mkdir -m 700 /root/.ssh
umask 077
echo '{public_key}' > /root/.ssh/authorized_keys
echo '{private_key}' > /run/sshd/key
umask 022
exec /usr/sbin/sshd -D -e -f /dev/null -h /run/sshd/key -o ListenAddress={address} \
  -o PasswordAuthentication=no -o PermitRootLogin=prohibit-password -o UsePAM=no \
  -o StrictModes=no -o PidFile=none -o MaxStartups=100
"""


def missing(
    service: Sequence[str] = SSH, packages: str = "iproute2, openssh-server, rsync"
) -> str | None:
    """Why this machine cannot hold such hosts, or None where it can.

    service: the programs that the hosts' service needs. packages: Debian's, that have them.
    """
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    absent = [tool for tool in (*NAMESPACES, *service) if shutil.which(tool) is None]
    if absent:
        return f"needs {', '.join(absent)} (Debian: {packages})"
    probe = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], check=False)
    return "may not make namespaces here" if probe.returncode else None


class Network:
    """A bridge, and the hosts plugged into it. A context manager: at its end nothing is left."""

    up = "listening"  # what a host's service prints once it is up

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        """folder: for keys and logs. environment: what every login on every host has set."""
        self.folder = folder
        self.environment = environment
        self.prefix = f"t{os.getpid()}"
        self.seen = [sys.base_prefix, sys.prefix, str(REPOSITORY)]  # all else in /tmp is hidden
        self.hosts: list[Host] = []
        self.numbers = itertools.count(1)

    def __enter__(self) -> "Network":
        self.prepare()
        self.bridge = f"{self.prefix}-net"
        _ip("netns", "add", self.bridge)
        _ip("-n", self.bridge, "link", "add", "br0", "type", "bridge")
        _ip("-n", self.bridge, "link", "set", "br0", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts:
            host.kill()
        for name in [host.namespace for host in self.hosts] + [self.bridge]:
            subprocess.run(["ip", "netns", "delete", name], check=False)

    def prepare(self) -> None:
        """Make what the hosts' service needs in the folder."""
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "id")]
        subprocess.run(keygen, check=True)

    def service(self, host: "Host") -> str:
        """Shell commands that start a host's service, and last as long as the host."""
        public_key = (self.folder / "id.pub").read_text().strip()
        return SSHD.format(public_key=public_key, private_key=self.key, address=host.address)

    @property
    def key(self) -> str:
        return (self.folder / "id").read_text()

    def host(self, name: str) -> "Host":
        """Start a host. Whoever has the network's key may ssh to it as root."""
        host = Host(self, name, f"{NETWORK}.{next(self.numbers)}")
        self.hosts.append(host)
        host.start()
        return host


class Host:
    """One machine of a network."""

    def __init__(self, network: Network, name: str, address: str) -> None:
        self.network, self.name, self.address = network, name, address
        self.namespace = f"{network.prefix}-{name}"
        self.log = network.folder / f"{name}.log"

    def start(self) -> None:
        network, bridge = self.network, self.network.bridge
        self.port = f"p-{self.name}"
        _ip("netns", "add", self.namespace)
        _ip("-n", bridge, "link", "add", self.port, "type", "veth",
            "peer", "name", "eth0", "netns", self.namespace)  # fmt: skip
        _ip("-n", bridge, "link", "set", self.port, "master", "br0", "up")
        _ip("-n", self.namespace, "address", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", self.namespace, "link", "set", device, "up")
        bashrc = [f"export {name}='{value}'" for name, value in network.environment.items()]
        script = INIT.format(
            seen=" ".join(network.seen),
            name=self.name,
            bashrc="\n".join(bashrc),
            service=network.service(self),
        )
        isolate = "unshare --mount --pid --fork --kill-child --mount-proc --uts --ipc".split()  # noqa: SIM905
        die_with_us = ["setpriv", "--pdeathsig", "KILL"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*die_with_us, *f"ip netns exec {self.namespace}".split(), *isolate, "bash"],
                stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
        assert self.process.stdin is not None
        with self.process.stdin as stdin:
            stdin.write(script)
        deadline = time.monotonic() + 60
        while network.up not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    @property
    def is_on(self) -> bool:
        return self.process.poll() is None

    @property
    def init(self) -> int:
        """The process that all others of this host descend from, by its number out here."""
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return int(Path(children).read_text().split()[0])

    def command(self, script: str) -> list[str]:
        """Command line that runs a shell script here, as a login would."""
        inside = ["nsenter", "--target", str(self.init), "--all"]
        clean = ["env", "-i", "HOME=/root", "USER=root", "TERM=dumb", f"PATH={os.environ['PATH']}"]
        return [*inside, *clean, "bash", "-lc", f"cd /root && {script}"]

    def popen(self, script: str, output: Path) -> subprocess.Popen[bytes]:
        with output.open("wb") as file:
            return subprocess.Popen(
                self.command(script), stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )

    def run(self, script: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(script), capture_output=True, text=True, timeout=timeout,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def write(self, path: str, text: str) -> None:
        subprocess.run(self.command(f"cat > {path}"), input=text, text=True, check=True)

    def unplug(self) -> None:
        """Cut the cable: the host lives on and reaches nobody."""
        _ip("-n", self.network.bridge, "link", "set", self.port, "down")

    def plug(self) -> None:
        _ip("-n", self.network.bridge, "link", "set", self.port, "up")

    def kill(self) -> None:
        """Pull the power plug: every process of the host is gone at once, and no port answers."""
        if self.is_on:
            self.unplug()
            os.kill(self.init, signal.SIGKILL)
            self.process.wait()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
