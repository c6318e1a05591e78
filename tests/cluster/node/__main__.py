"""The first process of the test cluster's namespaces: makes the machine, starts Kubernetes, and runs a command in it.

    python3 -m node [--image ARCHIVE]... [--arm-stub BINARY] [COMMAND...]

Without a command it stays until it is ended. Its end is the cluster's: the kernel ends every process of the namespaces.
"""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

from node import certificates, configs, images, machine, processes
from node.settings import HERE, programs, state


def arguments():
    parser = argparse.ArgumentParser(prog="node")
    parser.add_argument("--image", action="append", type=pathlib.Path, default=[])
    parser.add_argument("--arm-stub", type=pathlib.Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser.parse_args()


def reap(child):
    """Waits for the child while it buries what has lost its parent, as the first process must."""
    while True:
        ended, status = os.wait()
        if ended == child:
            return os.waitstatus_to_exitcode(status)


def environment():
    """What a command in the cluster finds."""
    path = f"{programs()}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "KUBECONFIG": str(state() / "config" / "admin.kubeconfig"), "PYTHONPATH": str(HERE)}


def serve(given):
    begun = time.monotonic()
    folder = state()
    machine.prepare(folder)
    (folder / "config").mkdir()
    certificates.make(folder)
    configs.write(folder)
    archive = folder / "images.tar"
    images.make(archive, given.arm_stub)
    running = processes.start(folder, [archive, *given.image])
    archive.unlink()
    print(f"cluster ready after {time.monotonic() - begun:.1f} s", flush=True)
    (folder / "ready").touch()
    return supervise(running, subprocess.Popen(given.command, env=environment()) if given.command else None)


def supervise(running, command):
    """Waits for the command, or for ever. kubelet is started again when it ends; the others have no reason to."""
    while command is None or command.poll() is None:
        for name, process in running.items():
            if name == "kubelet" and process.ended():
                process.start()
            process.check()
        time.sleep(0.2)
    return command.returncode


def main():
    given = arguments()
    child = os.fork()
    if child:
        return reap(child)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        code = serve(given)
    except (processes.Failed, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        code = 1
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)


sys.exit(main())
