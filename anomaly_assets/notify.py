"""Send messages with Apprise, without its addresses in any log or error: they hold passwords and tokens."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
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
                f"{_shown_scheme(address)}. Compare it with https://github.com/caronc/apprise/wiki."
            )


def send(addresses: Sequence[str], title: str, text: str) -> list[str]:
    """Send a message to each address.

    Args:
        addresses: URLs of Apprise.
        title: Title of the message, or its first line where a service has none.
        text: Plain text.

    Returns:
        The addresses that did not take it, each as its number and kind, such as `address 2 (mailto)`.
    """
    failed = []
    for number, address in enumerate(addresses, 1):
        try:
            with _unlogged():
                recipient = _recipient(address)
                sent = recipient is not None and recipient.notify(
                    title=title, body=text, body_format="text"
                )
        except Exception:  # of any plugin, and its text may hold the address
            sent = False
        if not sent:
            failed.append(f"address {number}{_shown_scheme(address)}")
    return failed


def _recipient(address: str) -> Any | None:
    """Return the object that sends to one address; None if Apprise does not support it."""
    try:
        import apprise
    except ImportError:
        raise NotifyError(
            f"ANOMALY_NOTIFY needs Apprise, which is not installed: {install_extra('notify')}."
        ) from None
    asset = apprise.AppriseAsset(app_id="anomaly_assets", async_mode=False)
    with _unlogged():
        recipient = apprise.Apprise(asset=asset)
        return recipient if recipient.add(address) else None


@contextmanager
def _unlogged() -> Iterator[None]:
    """Drop all log records and warnings of Apprise and the modules that it sends with."""
    with ExitStack() as stack:
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL + 1)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


def _shown_scheme(address: str) -> str:
    """Return the kind of an address in brackets; nothing if it is not a plain word."""
    kind = re.match(r"[a-z]{2,12}(?=://)", address)
    return f" ({kind[0]})" if kind else ""
