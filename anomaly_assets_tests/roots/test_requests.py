"""Test retries of a store's answers, and secrets in its messages."""

from __future__ import annotations

import pytest

from anomaly_assets.roots.retries import _is_transient, safe_text


class ResponseError(Exception):
    """An error that clients raise for an answer that is not a file."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


def not_found_because_of(cause: BaseException | None) -> FileNotFoundError:
    """Return fsspec's error for a web file, which hides the cause."""
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


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY",
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_STORAGE_SAS_TOKEN",
        "PGPASSWORD",
        "motherduck_token",
        "TEAM_CREDENTIALS",
    ],
)
def test_a_secret_of_the_environment_is_not_told(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "hidden/one+two=")
    for spelled in ("hidden/one+two=", "hidden/one%2Btwo%3D", "hidden%2Fone%2Btwo%3D"):
        assert safe_text(ValueError(f"refused: {spelled} is wrong")) == "refused: *** is wrong"


def test_a_secret_of_several_lines_is_not_told_where_they_became_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PRIVATE_KEY", "-----BEGIN-----\nhidden\n-----END-----")
    text = "no key: -----BEGIN-----\r\nhidden\n-----END-----"
    assert safe_text(ValueError(text)) == "no key: ***"


def test_of_two_secrets_of_which_one_begins_the_other_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_TOKEN", "hidden-one")
    monkeypatch.setenv("B_TOKEN", "hidden-one-and-more")
    assert safe_text(ValueError("hidden-one-and-more, hidden-one")) == "***, ***"


def test_what_is_no_secret_or_too_short_for_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_TOKEN", "always")
    monkeypatch.setenv("GREETING", "something long")
    assert safe_text(ValueError("always something long")) == "always something long"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("at http://me:hidden@host/x", "at http://host/x"),
        ("at https://host/x.zip?sig=hidden failed", "at https://host/x.zip failed"),
        ("'https://host/x#hidden'", "'https://host/x'"),
        ("two\nlines\x1b[2J", "two lines\\x1b[2J"),
        ("", "ValueError"),
    ],
)
def test_addresses_lose_their_secrets_and_control_characters_are_shown(
    text: str, told: str
) -> None:
    assert safe_text(ValueError(text)) == told
