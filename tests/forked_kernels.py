"""Kernels for a run's notebooks, forked from a process that has imported what nearly all import.

Torch, its optimisers and Matplotlib take three seconds of the processor, for each of 33 notebooks.
`test_kernel.py` and `test_browser.py` start kernels as learners do.

    replace_launch(patch)     # jupyter_client forks kernels, as long as pytest's patch holds

This file is also the program that forks: one for each PYTHONPATH, since that decides what it
imports.
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys

# An optimiser imports torch._dynamo when it is made.
PRELOAD = ("ipykernel.kernelapp", "matplotlib.pyplot", "torch._dynamo")
BACKEND = "module://matplotlib_inline.backend_inline"  # which Matplotlib reads when it is imported

spent = 0.0  # seconds of the processor that ended kernels have used
_lines: dict[str, socket.socket] = {}  # to the programs that fork, by PYTHONPATH


class Kernel:
    """What jupyter_client asks of a process, of one that is another's child."""

    stdin = stdout = stderr = None

    def __init__(self, line: socket.socket, pid: int):
        self._line, self.pid, self._process = line, pid, os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Return None while it runs, then 0."""
        return 0 if select.select([self._process], [], [], 0)[0] else None

    def wait(self) -> int:
        global spent
        select.select([self._process], [], [])
        os.close(self._process)
        spent += _ask(self._line, {"ended": self.pid})
        return 0

    def send_signal(self, number: int) -> None:
        signal.pidfd_send_signal(self._process, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def replace_launch(patch) -> None:
    """Have jupyter_client fork kernels, on Linux; elsewhere it starts them as ever."""
    if sys.platform == "linux":
        patch.setattr("jupyter_client.provisioning.local_provisioner.launch_kernel", launch)


def launch(command: list[str], *, cwd: str, env: dict[str, str], **_) -> Kernel:
    """Start `python -m ipykernel_launcher …`; its standard error is closed, as nbval has it."""
    path = env.get("PYTHONPATH", "")
    if path not in _lines:
        _lines[path], its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its_end:
            subprocess.Popen(
                [sys.executable, __file__], stdin=its_end, env=env | {"MPLBACKEND": BACKEND}
            )
    arguments = command[command.index("ipykernel_launcher") :]
    asked = {"arguments": arguments, "cwd": cwd, "env": env}
    return Kernel(_lines[path], _ask(_lines[path], asked))


def _ask(line: socket.socket, asked: dict) -> float:
    line.send(json.dumps(asked).encode())
    return json.loads(line.recv(100))


def main() -> None:
    """Fork kernels, and say what each has used, until the line is closed."""
    line = socket.socket(fileno=os.dup(0))
    os.environ["JPY_PARENT_PID"] = str(os.getpid())  # ipykernel reads it when it is imported
    for name in PRELOAD:
        importlib.import_module(name)
    gc.freeze()
    while asked := line.recv(2**20):
        asked = json.loads(asked)
        if "ended" in asked:
            used = os.wait4(asked["ended"], 0)[2]
            reply = used.ru_utime + used.ru_stime
        elif (reply := os.fork()) == 0:
            line.close()
            become_a_kernel(**asked)
        else:
            os.setpgid(reply, reply)  # which is asked for at once, and interrupted as a group
        line.send(json.dumps(reply).encode())


def become_a_kernel(arguments: list[str], cwd: str, env: dict[str, str]) -> None:
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 2):
        os.dup2(nothing, standard)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[0] = ""  # this file's folder
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    main()
