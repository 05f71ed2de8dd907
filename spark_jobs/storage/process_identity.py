"""Whether a process that wrote its name somewhere is still there.

A process number alone says nothing: it is given away again, and means another process in another container. So the name
holds what gives the number its meaning (boot, host, namespaces), and when the process began.

Three answers are possible. *It lives*: it is seen under its name. *It has ended*: another one has its number, or the
kernel says that there is none. Everything else is *unknown*: it was on another machine or in another namespace; or
`/proc` does not show it, as with `hidepid`, which hides the processes of other users; or it is a zombie, some of
whose threads may still run.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

_PROC = Path("/proc")
_ENDING = ("Z", "X")


def process_identity(pid: int) -> str | None:
    """Return a name that no other process ever has; `None` if the process cannot be seen from here.

    The last two words are its number and when it began; those before them say in which system.
    """
    try:
        if (_PROC / "self").readlink().name != str(os.getpid()):
            return None  # /proc belongs to another process namespace than we do
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespaces = [str((_PROC / "self/ns" / kind).readlink()) for kind in ("pid", "time")]
        # The program's name, in brackets, may hold spaces. The state follows, and as the 20th field the start, in clock
        # ticks.
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        if stat[0] in _ENDING:
            return None
        # Copies of a virtual machine share a boot; their hosts' names differ soon after.
        return " ".join([boot, socket.gethostname(), *namespaces, str(pid), stat[19]])
    except (OSError, IndexError, ValueError):
        return None


def lives(identity: object) -> bool | None:
    """Return whether the process of this name is there or has ended; `None` if that cannot be told from here.

    Parameters
    ----------
    identity
        What `process_identity` once gave, read back from a file that anybody may have written.
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
        os.kill(pid, 0)  # signal 0 does nothing; only its answer matters
    except ProcessLookupError:
        return False
    except (OSError, OverflowError, ValueError):
        return None
    return None


def _words(identity: str) -> tuple[str, str, str]:
    before, _, began = identity.rpartition(" ")
    system, _, number = before.rpartition(" ")
    return system, number, began
