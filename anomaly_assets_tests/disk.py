"""Record syncs and renames, in order."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from anomaly_assets import linux

Call = tuple[str, ...]


def record_calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Record every `fsync` and `syncfs` with a name, and every rename and exchange with both names."""
    made: list[Call] = []

    def record(name: str, told: Callable[..., Call]) -> None:
        call = getattr(os, name)

        def noted(*arguments: Any, **options: Any) -> None:
            made.append((name, *told(*arguments)))
            call(*arguments, **options)

        monkeypatch.setattr(os, name, noted)

    def names(*paths: Any) -> Call:
        return tuple(os.path.basename(path) for path in paths)

    def opened(descriptor: int) -> Call:
        return names(os.readlink(f"/proc/self/fd/{descriptor}"))

    class Libc:
        @staticmethod
        def syncfs(descriptor: int) -> int:
            made.append(("syncfs", *opened(descriptor)))
            return int(libc.syncfs(descriptor))

        @staticmethod
        def renameat2(*arguments: Any) -> int:
            made.append(("exchange", *names(os.fsdecode(arguments[1]), os.fsdecode(arguments[3]))))
            return int(libc.renameat2(*arguments))

    libc = linux._libc()
    monkeypatch.setattr(linux, "_libc", lambda: Libc)
    record("fsync", opened)
    record("replace", names)
    record("rename", names)
    return made
