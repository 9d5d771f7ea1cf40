"""Test that credentials come from the environment or a URL, are checked, and are never shown."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from anomaly_assets.errors import install_extra
from anomaly_assets.roots.base import RootError
from anomaly_assets.roots.open import open_root
from anomaly_assets_tests.stores import azure, web
from anomaly_assets_tests.stores.store import Store
from anomaly_assets_tests.stores.trees import (
    build,
    everything_in,
    load_root,
    pictures,
    warehouse_in,
    zipped,
)

CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "az": "AZURE_STORAGE_CONNECTION_STRING",
    "http": "user and password in the URL or in ~/.netrc",
}
"""Advice in the message of a store that denies access."""

Servers = Callable[[str], Store]


def seen_in(text: str, secrets: tuple[str, ...]) -> list[str]:
    """Return the secrets in a text, in any spelling that URLs use."""
    return [secret for secret in secrets if secret in text]


def refusal(location: str) -> str:
    """Return all messages about a root that cannot be listed."""
    with pytest.raises(RootError) as caught:
        list(open_root(location).files())
    return "".join(traceback.format_exception(caught.value))


@pytest.fixture
def nginx(servers: Servers) -> web.Web:
    """Return the web server."""
    server = servers("http")
    assert isinstance(server, web.Web)
    return server


@pytest.fixture(params=["s3", "az"])
def refusing(
    request: pytest.FixtureRequest, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> Store:
    """Return a store that checks signatures, with an environment that has a wrong secret."""
    store = servers(request.param)
    for name, value in store.wrong_environment().items():
        monkeypatch.setenv(name, value)
    return store


def test_a_wrong_secret_is_refused_and_not_repeated(refusing: Store, prefix: str) -> None:
    location = refusing.put_files(prefix, pictures())
    said = refusal(location)
    assert re.search(f"{location} cannot be listed: (?!{location}).+", said)
    assert f". Check {CREDENTIALS[refusing.name]}" in said
    assert not seen_in(said, (*refusing.secrets, *refusing.wrong_environment().values()))


@pytest.mark.parametrize("name", ["s3", "az"])
def test_no_credentials_at_all_are_said_to_be_missing(servers: Servers, name: str) -> None:
    said = refusal(servers(name).location("something"))
    assert "cannot be" in said
    if name == "s3":
        assert f"cannot be listed: Unable to locate credentials. Check {CREDENTIALS[name]}" in said


@pytest.mark.parametrize(("user", "password"), [("", ""), (web.USER, "wrong-password")])
def test_a_folder_with_a_password_is_closed_to_others(
    nginx: web.Web, prefix: str, user: str, password: str
) -> None:
    nginx.put_files(prefix, pictures())
    said = refusal(nginx.private(prefix, user, password))
    assert "401" in said
    assert f"Check {CREDENTIALS['http']}" in said
    assert not seen_in(said, ("wrong-password", f"{web.USER}:"))


def test_a_password_may_come_from_netrc(
    nginx: web.Web, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nginx.put_files(prefix, {"1.png": b"content"})
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {web.PLAIN_USER} password {web.PLAIN_PASSWORD}\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert open_root(nginx.private(prefix)).read("1.png") == b"content"


def sas_connection(store: Store) -> str:
    """Return a connection string that holds a signature instead of the key."""
    from azure.storage.blob import (
        AccountSasPermissions,
        ResourceTypes,
        generate_account_sas,
    )

    signature = generate_account_sas(
        azure.ACCOUNT,
        azure.KEY,
        ResourceTypes(container=True, object=True),
        AccountSasPermissions(read=True, list=True),
        datetime.now(timezone.utc) + timedelta(hours=1),
    )
    endpoint = f"http://127.0.0.1:{store.port}/{azure.ACCOUNT}"
    return f"BlobEndpoint={endpoint};SharedAccessSignature={signature}"


def presigned(store: Store, path: str) -> str:
    """Return a web URL of one object that holds a signature."""
    client: Any = store._client()  # type: ignore[attr-defined]
    address = client.generate_presigned_url("get_object", {"Bucket": "data", "Key": path})
    assert "ignature=" in address
    return str(address)


@pytest.mark.parametrize("way", ["s3", "az", "az with a signature", "password", "signed URL"])
def test_no_secret_reaches_a_table_a_log_or_a_message(
    way: str,
    servers: Servers,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    kind = {"password": "http", "signed URL": "s3"}.get(way, way.split()[0])
    store = servers(kind)
    location = store.put_files(prefix, pictures())
    environment = store.environment()
    secrets = store.secrets
    if way == "az with a signature":
        environment = {"AZURE_STORAGE_CONNECTION_STRING": sas_connection(store)}
        secrets = (*secrets, environment["AZURE_STORAGE_CONNECTION_STRING"].split("sig=")[1][:20])
    elif way == "password":
        assert isinstance(store, web.Web)
        location = store.private(prefix, web.USER, web.PASSWORD)
    elif way == "signed URL":
        store.put(f"{prefix}/x.zip", zipped(tmp_path / "x.zip", pictures()).read_bytes())
        location, environment = presigned(store, f"{prefix}/x.zip"), {}
        secrets = (*secrets, "ignature=", location.split("ignature=")[1][:20])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    warehouse = warehouse_in(tmp_path)
    with caplog.at_level(logging.INFO):
        load_root(warehouse, "mvtec_ad", location)
        assert build(warehouse, "mvtec_ad", location).decoded == 5
        store.delete(f"{prefix}/bottle/train/good/000.png")
        said = refusal(location.replace(prefix, "missing"))
    root = open_root(location)
    listed = repr([root.uri, root.uri_of("a.png"), list(root.files())])
    output = "".join(capfd.readouterr())
    for text in (everything_in(warehouse), caplog.text, said, listed, output):
        assert not seen_in(text, secrets)


@pytest.mark.parametrize(
    ("location", "module", "extra"),
    [
        ("s3://data/images", "s3fs", "s3"),
        ("az://data/images", "adlfs", "azure"),
        ("gs://data/images", "gcsfs", "gcs"),
        ("http://127.0.0.1:9/images", "aiohttp", "http"),
        ("https://127.0.0.1:9/images.zip", "aiohttp", "http"),
    ],
)
def test_an_address_whose_package_is_missing_names_the_extra(
    location: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RootError) as caught:
        open_root(location)
    assert module in str(caught.value)
    assert install_extra(extra) in str(caught.value)
