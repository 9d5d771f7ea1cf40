"""Which answers of a store are worth asking again for."""

from __future__ import annotations

import pytest

from anomaly_assets.ingest.requests import _is_transient


class ResponseError(Exception):
    """What clients raise for an answer that is no file."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


def not_found_because_of(cause: BaseException | None) -> FileNotFoundError:
    """As fsspec says it of a web file, whatever it was that went wrong."""
    error = FileNotFoundError("http://host/000.png")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("cause", [ResponseError(503), ConnectionResetError(), TimeoutError()])
def test_a_file_that_could_not_be_asked_for_is_asked_for_again(cause: BaseException) -> None:
    assert _is_transient(not_found_because_of(cause))


@pytest.mark.parametrize("cause", [None, ResponseError(404), ResponseError(403), ValueError()])
def test_a_file_that_is_not_there_is_not_asked_for_again(cause: BaseException | None) -> None:
    assert not _is_transient(not_found_because_of(cause))
    assert not _is_transient(PermissionError("denied"))
