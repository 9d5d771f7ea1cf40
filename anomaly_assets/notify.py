"""Send messages with Apprise, without its addresses in any log or error: they hold passwords and tokens."""

from __future__ import annotations

import difflib
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import Any

from anomaly_assets.errors import AnomalyAssetsError, install_extra

_LOGGERS = ("apprise", "urllib3", "requests")
"""Loggers of modules that log the addresses, or parts of them."""


class NotifyError(AnomalyAssetsError, RuntimeError):
    """Notices cannot be sent: Apprise is not installed, or cannot use one of the addresses."""


def refuse_unusable(addresses: Sequence[str]) -> None:
    """Raise if a message could not be sent to one of the addresses; nothing is sent.

    Args:
        addresses: URLs of Apprise.

    Raises:
        NotifyError: Apprise is not installed, or does not support an address.
    """
    for number, address in enumerate(addresses, 1):
        if _recipient(address) is None:
            raise NotifyError(
                f"ANOMALY_NOTIFY: Apprise cannot use address {number} of {len(addresses)}"
                f"{_shown_scheme(address)}. {_why_unusable(address)}"
            )


def send(addresses: Sequence[str], title: str, text: str) -> list[str]:
    """Send a message to each address.

    Args:
        addresses: URLs of Apprise.
        title: Title of the message, or its first line where a service has none.
        text: Plain text.

    Returns:
        The addresses that did not take it, each as its number, kind and reason, such as
        `address 2 (mailto): Connection refused`.
    """
    failed = []
    for number, address in enumerate(addresses, 1):
        heard: list[str] = []
        why = ""
        try:
            with _unlogged(heard):
                recipient = _recipient(address)
                sent = recipient is not None and recipient.notify(
                    title=title, body=text, body_format="text"
                )
        except Exception as error:  # of any plugin, and its text may hold the address
            sent = False
            why = type(error).__name__
        if not sent:
            failed.append(f"address {number}{_shown_scheme(address)}: {why or _reason(heard)}")
    return failed


_PHRASES = (
    *("Connection refused", "Name or service not known", "Temporary failure in name resolution"),
    *("No route to host", "Network is unreachable", "Connection reset", "timed out"),
    *("certificate verify failed", "wrong version number", "STARTTLS extension not supported"),
)
_STATUS = re.compile(r"\berror=(\d{3})\b")
_REPLY = re.compile(r"\((\d{3}), b['\"]")


def _reason(heard: Iterable[str]) -> str:
    """Return why a message was not taken, in words of which none can be a part of the address."""
    text = "\n".join(heard)
    if found := _STATUS.search(text):
        status = int(found[1])
        phrase = f" ({HTTPStatus(status).phrase})" if status in {*HTTPStatus} else ""
        return f"the server answered {status}{phrase}"
    if found := _REPLY.search(text):
        return f"the mail server answered {found[1]}"
    for phrase in _PHRASES:
        if phrase.casefold() in text.casefold():
            return phrase
    return "Apprise gave no reason"


def _why_unusable(address: str) -> str:
    """Return why Apprise cannot use an address, and what to do."""
    import apprise

    compare = "Compare it with https://github.com/caronc/apprise/wiki."
    kind = address.partition("://")[0].casefold()
    with _unlogged([]):
        known = apprise.Apprise().details(show_requirements=True, show_disabled=True)["schemas"]
    types = {
        name: each
        for each in known
        for name in (*(each["protocols"] or ()), *(each["secure_protocols"] or ()))
    }
    if kind not in types:
        close = difflib.get_close_matches(kind, types, n=1)
        meant = f" Did you mean {close[0]}://?" if close else ""
        return f"It has no type of this name, as mailto or slack.{meant} {compare}"
    if not types[kind]["enabled"]:
        needed = types[kind]["requirements"]["packages_required"]
        packages = f" It needs the package {', '.join(needed)}." if needed else ""
        return f"This type does not work on this machine.{packages}"
    return f"The type exists, but a part of the address is missing or wrong. {compare}"


def _recipient(address: str) -> Any | None:
    """Return the object that sends to one address; None if Apprise does not support it."""
    try:
        import apprise
    except ImportError:
        raise NotifyError(
            f"ANOMALY_NOTIFY needs Apprise, which is not installed: {install_extra('notify')}."
        ) from None
    asset = apprise.AppriseAsset(app_id="anomaly_assets", async_mode=False)
    with _unlogged([]):
        recipient = apprise.Apprise(asset=asset)
        return recipient if recipient.add(address) else None


class _Listener(logging.Handler):
    """Keep the messages of a logger, and pass none on."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__()
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.append(record.getMessage())


@contextmanager
def _unlogged(heard: list[str]) -> Iterator[None]:
    """Drop all log records and warnings of Apprise and the modules that it sends with.

    Args:
        heard: Gets the messages of Apprise; they may hold addresses.
    """
    with ExitStack() as stack:
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL + 1)
        logger = logging.getLogger(_LOGGERS[0])
        for attribute, value in (("handlers", [_Listener(heard)]), ("propagate", False)):
            stack.callback(setattr, logger, attribute, getattr(logger, attribute))
            setattr(logger, attribute, value)
        logger.setLevel(logging.DEBUG)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


def _shown_scheme(address: str) -> str:
    """Return the kind of an address in brackets; nothing if it is not a plain word."""
    kind = re.match(r"[a-z]{2,12}(?=://)", address)
    return f" ({kind[0]})" if kind else ""
