"""The root of a host without Lustre, for node-setup: facts of an AKS node as files, and stand-ins of the host's programs.

The programs are shell scripts that run chrooted in it with a static busybox (tests/cluster/host-root). `/sys`, `/dev` and
`/run` are mounts of their own as on a real host, so they stay writable below the read-only root.
"""

import os
import pathlib
import shutil
import subprocess

from gate import world
from node.settings import HERE, debian, state

KERNEL = "6.8.0-1046-azure"
CLIENT = "2.17.0-24-gf517bc4"
PACKAGE = f"kmod-lustre-client-{KERNEL}-{CLIENT}"
ADDRESS = "10.224.0.4"

FILES = {
    "etc/os-release": 'ID=ubuntu\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\nPRETTY_NAME="Ubuntu 24.04 LTS"\n',
    "proc/sys/kernel/osrelease": f"{KERNEL}\n",
    "proc/sys/kernel/arch": "x86_64\n",
    "proc/1/mountinfo": "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n",
    "proc/net/route": (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0100E00A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        "eth0\t0000E00A\t00000000\t0001\t0\t0\t100\t0000FFFF\t0\t0\t0\n"
    ),
    "proc/net/fib_trie": f"Local:\n  +-- 0.0.0.0/0 2 0 2\n     |-- {ADDRESS}\n        /32 host LOCAL\n",
    **{f"lib/modules/{KERNEL}/{name}": "" for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo")},
    f"lib/modules/{KERNEL}/kernel/net/sunrpc/sunrpc.ko": "sunrpc",
}
# Written into the mount of their own.
SYS = {
    "sys/class/net/eth0/type": "1\n",
    "sys/class/net/eth0/flags": "0x1003\n",
    "sys/class/net/eth0/operstate": "up\n",
    "sys/class/net/eth0/ifindex": "2\n",
    "sys/class/net/eth0/iflink": "2\n",
    "sys/class/net/eth0/device/vendor": "hyperv\n",
    "sys/kernel/security/lockdown": "[none] integrity confidentiality\n",
}


class HostRoot:
    """One root, in the state of the cluster."""

    def __init__(self):
        self.path = state() / "host-root"
        for name in ("bin", "usr/sbin", "sys", "dev", "run", "tmp", "proc/1/ns", "var/lib"):
            (self.path / name).mkdir(parents=True)
        for name in ("sys", "dev", "run"):
            world.command("mount", "-t", "tmpfs", "tmpfs", self.path / name)
        for name, text in {**FILES, **SYS}.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (self.path / "sys/module").mkdir()
        # Pods on the host's network are in this process's network namespace.
        (self.path / "proc/1/ns/net").symlink_to(os.readlink("/proc/self/ns/net"))
        self._programs()

    def _programs(self):
        busybox = self.path / "bin/busybox"
        shutil.copy(debian() / "bin" / "busybox", busybox)
        names = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
        stand_ins = {file.name: file for file in pathlib.Path(HERE / "host-root").iterdir()}
        for name in set(names) - {"busybox", *stand_ins}:
            (self.path / "bin" / name).symlink_to("busybox")
        for name, file in stand_ins.items():
            shutil.copy(file, self.path / "usr/sbin" / name)

    def packages_are_published(self, published):
        """Whether apt finds packages from now on."""
        mark = self.path / "run/no-packages"
        mark.unlink(missing_ok=True) if published else mark.touch()

    def calls(self):
        """Calls of the stand-ins so far."""
        log = self.path / "run/tools.log"
        return log.read_text().splitlines() if log.exists() else []

    def written(self):
        """Files below the root on its own file system, but those that were there."""
        mounts = {self.path / name for name in ("sys", "dev", "run")}
        files = [file for file in self.path.rglob("*") if not mounts & set(file.parents) and file.is_file()]
        return {str(file.relative_to(self.path)) for file in files}
