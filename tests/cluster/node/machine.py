"""Makes the namespaces that the cluster was started in into a machine of its own.

Nothing here changes the real machine: mounts are private, the network has no way out, and kubelet's system settings
go to files that lie over the real ones.
"""

import subprocess

from node.settings import API_SERVICE, NODE_ADDRESS, debian

# The settings of the whole machine that kubelet writes.
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def run(*command):
    subprocess.run([str(part) for part in command], check=True)


def network():
    """Loopback with the two addresses of the cluster."""
    ip = [debian() / "bin" / "busybox", "ip"]
    run(*ip, "link", "set", "lo", "up")
    for address in (NODE_ADDRESS, API_SERVICE):
        run(*ip, "addr", "add", f"{address}/32", "dev", "lo")


def folders(state):
    """The machine's writable folders, on the state; `/etc` stays readable as it is."""
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    for place in ("var/log", "var/lib"):
        below = state / "machine" / place
        below.mkdir(parents=True)
        run("mount", "--bind", below, f"/{place}")
    above, work = state / "machine" / "etc", state / "machine" / "etc-work"
    above.mkdir()
    work.mkdir()
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/etc,upperdir={above},workdir={work}", "/etc")
    kubelet = state / "machine" / "var" / "lib" / "kubelet"
    kubelet.mkdir()
    run("mount", "--bind", kubelet, "/var/lib/kubelet")
    # Or mounts that a pod makes for others (Bidirectional) are refused.
    run("mount", "--make-rshared", "/var/lib/kubelet")


def sysctls(state):
    """Files in the place of what kubelet would set for everybody."""
    folder = state / "machine" / "sysctl"
    folder.mkdir()
    for name, value in SYSCTLS.items():
        file = folder / name.replace("/", ".")
        file.write_text(value + "\n")
        run("mount", "--bind", file, f"/proc/sys/{name}")


def prepare(state):
    network()
    folders(state)
    sysctls(state)
