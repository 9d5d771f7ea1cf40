"""Hide from this process what only POSIX systems or only Linux have, before this project is imported.

The libraries imported below choose what they call by `sys.platform`, so they are imported first.
"""

from __future__ import annotations

import asyncio  # noqa: F401
import ctypes
import os
import signal
import sys
from typing import Any

import duckdb  # noqa: F401
import numpy  # noqa: F401
import pyarrow.dataset  # noqa: F401
import watchdog.observers  # noqa: F401

MODULES = ("fcntl", "grp", "pwd", "resource", "termios")

OF_OS = (
    "O_DIRECTORY",
    "O_NOFOLLOW",
    "O_NONBLOCK",
    "SEEK_DATA",
    "SEEK_HOLE",
    "chown",
    "copy_file_range",
    "fchmod",
    "fchown",
    "fork",
    "forkpty",
    "getgid",
    "geteuid",
    "getuid",
    "kill",
    "killpg",
    "mkfifo",
    "posix_fadvise",
    "posix_fallocate",
    "pread",
    "preadv",
    "pwrite",
    "pwritev",
    "register_at_fork",
    "sched_getaffinity",
    "sendfile",
    "setsid",
    "sync",
    "sysconf",
    "uname",
)

OF_SIGNAL = (
    *("SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGPIPE"),
    *("pthread_kill", "pthread_sigmask", "setitimer", "sigwait"),
)


def hide() -> None:
    """Hide all of it, and everything below /proc."""
    for module in MODULES:
        sys.modules[module] = None  # type: ignore[assignment] # importing it is an ImportError
    for names, holder in ((OF_OS, os), (OF_SIGNAL, signal)):
        for name in names:
            if hasattr(holder, name):
                delattr(holder, name)

    class NoLibrary(ctypes.CDLL):
        def __init__(self, name: Any, *arguments: Any, **options: Any) -> None:
            if name is None:
                raise TypeError("bad argument type for built-in operation")  # as on Windows
            super().__init__(name, *arguments, **options)

    ctypes.CDLL = NoLibrary  # type: ignore[misc]
    for name in ("listdir", "open", "readlink", "scandir", "stat", "lstat"):
        setattr(os, name, _blind(getattr(os, name)))


def _blind(call: Any) -> Any:
    def blind(path: Any = ".", *arguments: Any, **options: Any) -> Any:
        if isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith("/proc"):
            raise FileNotFoundError(2, "No such file or directory", os.fspath(path))
        return call(path, *arguments, **options)

    return blind
