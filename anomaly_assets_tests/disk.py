"""What reaches the disk, and what is renamed, in order."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

Call = tuple[str, ...]


def record_calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Note every `fsync` with the name of the file or folder, and every rename with both names."""
    made: list[Call] = []

    def record(name: str, told: Callable[..., Call]) -> None:
        call = getattr(os, name)

        def noted(*arguments: Any) -> None:
            made.append((name, *told(*arguments)))
            call(*arguments)

        monkeypatch.setattr(os, name, noted)

    def names(*paths: Any) -> Call:
        return tuple(os.path.basename(path) for path in paths)

    record("fsync", lambda descriptor: names(os.readlink(f"/proc/self/fd/{descriptor}")))
    record("replace", names)
    record("rename", names)
    return made
