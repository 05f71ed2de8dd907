"""Whether a process that wrote its identity into a file is still alive.

A process number alone is not enough: numbers are reused, and mean other processes in other containers. So the identity
also holds boot, host and namespaces, and the time at which the process began.

There are three answers. *Alive*: the process is seen under its identity. *Ended*: another process has its number, or
the kernel says that there is none. *Unknown*: it ran on another machine or in another namespace; `/proc` does not show
it (`hidepid` hides the processes of other users); or it is a zombie, some of whose threads may still run.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

_PROC = Path("/proc")
_ENDING = ("Z", "X")


def process_identity(pid: int) -> str | None:
    """Return a name that no other process ever has; `None` if the process cannot be seen from here.

    Its last two words are the process number and the start time; the words before them identify the system.
    """
    try:
        if (_PROC / "self").readlink().name != str(os.getpid()):
            return None  # /proc belongs to another process namespace
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespaces = [str((_PROC / "self/ns" / kind).readlink()) for kind in ("pid", "time")]
        # The program's name, in brackets, may contain spaces. After it come the state and, as 20th field, the start
        # time in clock ticks.
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        if stat[0] in _ENDING:
            return None
        # Copies of a virtual machine share the boot id; their host names soon differ.
        return " ".join([boot, socket.gethostname(), *namespaces, str(pid), stat[19]])
    except (OSError, IndexError, ValueError):
        return None


def is_alive(identity: object) -> bool | None:
    """Return whether the process of this identity is alive; `None` if that is unknown.

    Parameters
    ----------
    identity
        What `process_identity` returned, read back from a file that others may have written.
    """
    here = process_identity(os.getpid())
    if not isinstance(identity, str) or here is None:
        return None
    system, number, began = _words(identity)
    if not began or system != _words(here)[0] or not number.isdecimal():
        return None
    try:
        pid = int(number)
        if (seen := process_identity(pid)) is not None:
            return seen == identity
        os.kill(pid, 0)  # signal 0 only asks whether the process exists
    except ProcessLookupError:
        return False
    except (OSError, OverflowError, ValueError):
        return None
    return None


def _words(identity: str) -> tuple[str, str, str]:
    before, _, began = identity.rpartition(" ")
    system, _, number = before.rpartition(" ")
    return system, number, began
