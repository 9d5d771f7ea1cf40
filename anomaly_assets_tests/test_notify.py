"""Test that messages reach real servers on loopback, and that no address reaches a log."""

from __future__ import annotations

import builtins
import logging
import re
import sys
from typing import Any

import pytest

from anomaly_assets.notify import NotifyError, refuse_unusable, send
from anomaly_assets.settings import SettingsError, notify_addresses
from anomaly_assets_tests.recipients import mailbox, webhook
from anomaly_assets_tests.stores.servers import free_ports

SECRET = "s3cr3t"


@pytest.mark.slow
def test_a_message_arrives_by_mail_as_it_was_sent() -> None:
    with mailbox() as box:
        assert send([box.address], "1 check failed", "labels_agree\n    a/é.png <b>\n") == []
    [message] = box.received
    assert message["Subject"] == "1 check failed"
    assert message["To"] == "team@s3cr3t.example"
    body: Any = message
    plain = body.get_body(("plain",)) or body.get_body(("html",))
    assert "labels_agree" in plain.get_content()
    assert "a/é.png" in plain.get_content()


@pytest.mark.slow
def test_a_message_arrives_at_a_webhook_as_it_was_sent() -> None:
    with webhook() as hook:
        assert send([hook.address], "title", "one\n    two & <three>") == []
    assert hook.received == [("title", "one\n    two & <three>")]


@pytest.mark.slow
def test_each_address_gets_it_and_the_others_are_named_by_number_and_kind() -> None:
    with webhook() as hook, mailbox() as box:
        [closed] = free_ports(1)
        unreachable = f"mailto://127.0.0.1:{closed}/?from=a@{SECRET}.example&to=b@{SECRET}.example"
        assert send([unreachable, hook.address, box.address], "title", "text") == [
            "address 1 (mailto): Connection refused"
        ]
        hook.status = 500
        assert send([hook.address], "title", "text") == [
            "address 1 (json): the server answered 500 (Internal Server Error)"
        ]
    assert len(hook.received) == len(box.received) == 1


def test_no_address_is_logged_or_printed_at_any_level(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.CRITICAL, logger="mail.log")  # of the server
    for name in ("apprise", "urllib3", "requests"):
        caplog.set_level(logging.DEBUG, logger=name)
    with webhook() as hook, mailbox() as box:
        [closed] = free_ports(1)
        send([hook.address, box.address], "title", "text")
        hook.status = 500
        send([hook.address, f"json://user:{SECRET}@127.0.0.1:{closed}/{SECRET}"], "title", "text")
        send([f"mailto://{SECRET}:{SECRET}@127.0.0.1:{closed}"], "title", "text")
        send([f"nothing://{SECRET}"], "title", "text")
    printed = capfd.readouterr()
    assert SECRET not in caplog.text + printed.out + printed.err
    assert logging.getLogger("apprise").level == logging.DEBUG  # restored


def test_an_error_of_a_plugin_is_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> bool:
        raise RuntimeError(f"json://{SECRET}")

    monkeypatch.setattr("apprise.Apprise.notify", fail)
    assert send([f"json://127.0.0.1/{SECRET}"], "title", "text") == [
        "address 1 (json): RuntimeError"
    ]


def test_the_reason_of_a_webhook_holds_no_part_of_its_address() -> None:
    [closed] = free_ports(1)
    address = f"json://127.0.0.1:{closed}/{SECRET}"
    assert send([address], "title", "text") == ["address 1 (json): Connection refused"]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (
            "mailot://a@b.example",
            "It has no type of this name, as mailto or slack. Did you mean mailto://?",
        ),
        ("slack://x", "The type exists, but a part of the address is missing or wrong. Compare"),
        ("windows://", "This type does not work on this machine."),
    ],
)
def test_why_an_address_cannot_be_used_is_said_before_anything_is_sent(
    address: str, why: str
) -> None:
    with pytest.raises(NotifyError, match=re.escape(why)):
        refuse_unusable([address])


def test_an_address_that_apprise_does_not_support_is_named_by_its_number() -> None:
    good = "json://127.0.0.1/"
    refuse_unusable([good])
    with pytest.raises(NotifyError) as caught:
        refuse_unusable([good, f"{SECRET}://x", good])
    assert "Apprise cannot use address 2 of 3" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_without_apprise_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "apprise":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.delitem(sys.modules, "apprise", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(NotifyError, match=r"needs Apprise, which is not installed: .*\[notify\]"):
        refuse_unusable(["json://127.0.0.1/"])


def test_addresses_are_separated_by_bars_and_spaces() -> None:
    text = " json://a/ | mailto://b?to=c\n|slack://d/e/f "
    assert notify_addresses({"ANOMALY_NOTIFY": text}) == (
        "json://a/",
        "mailto://b?to=c",
        "slack://d/e/f",
    )
    assert notify_addresses({}) == notify_addresses({"ANOMALY_NOTIFY": " | "}) == ()


@pytest.mark.parametrize("text", [f"json://a/|{SECRET}@example.com", f"json://a/ {SECRET}:/x"])
def test_what_is_no_address_is_named_by_its_number(text: str) -> None:
    with pytest.raises(
        SettingsError, match="address 2 of 2 does not begin like mailto://"
    ) as caught:
        notify_addresses({"ANOMALY_NOTIFY": text})
    assert SECRET not in str(caught.value)
