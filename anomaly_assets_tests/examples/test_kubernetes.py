"""Test the manifests of `examples/kubernetes`: against Kubernetes' schemas, and against each other."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from anomaly_assets.settings import Settings

kubernetes_validate = pytest.importorskip("kubernetes_validate")

VERSION = "1.31"
"""Version of Kubernetes."""

FOLDER = Path(__file__).parents[2] / "examples" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text("utf-8"))
Manifest = dict[str, Any]


def manifests() -> list[Manifest]:
    return [
        document
        for name in KUSTOMIZATION["resources"]
        for document in yaml.safe_load_all((FOLDER / name).read_text("utf-8"))
    ]


def named(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


ALL = {named(manifest): manifest for manifest in manifests()}
WORKLOADS = {name: each for name, each in ALL.items() if "template" in each.get("spec", {})}


def validate(manifest: Manifest) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def pod(workload: Manifest) -> Manifest:
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def found(value: Any, key: str) -> Iterator[Any]:
    """Yield all values of a key, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from found(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from found(inner, key)


def test_every_manifest_is_in_the_kustomization() -> None:
    others = {"kustomization.yaml", "dagster.yaml", "workspace.yaml"}
    assert {path.name for path in FOLDER.glob("*.yaml")} - others == set(KUSTOMIZATION["resources"])
    assert len(ALL) == len(manifests())


@pytest.mark.parametrize("name", ALL)
def test_a_manifest_is_what_its_schema_says(name: str) -> None:
    validate(ALL[name])
    namespaced = ALL[name]["kind"] != "Namespace"
    assert ALL[name]["metadata"].get("namespace") == ("anomaly-assets" if namespaced else None)


def _misspelt(manifest: Manifest) -> None:
    pod(manifest)["contianers"] = pod(manifest).pop("containers")


def _text_for_a_number(manifest: Manifest) -> None:
    manifest["spec"]["replicas"] = "eight"


def _no_selector(manifest: Manifest) -> None:
    del manifest["spec"]["selector"]


def _probe_of_no_kind(manifest: Manifest) -> None:
    pod(manifest)["containers"][0]["readinessProbe"]["tcpSockets"] = {"port": 1}


@pytest.mark.parametrize("damage", [_misspelt, _text_for_a_number, _no_selector, _probe_of_no_kind])
def test_a_broken_manifest_is_found(damage: Any) -> None:
    manifest = copy.deepcopy(ALL["Deployment dask-worker"])
    validate(manifest)
    damage(manifest)
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(manifest)


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_pod_runs_as_nobody_in_particular_and_may_become_nobody_else(name: str) -> None:
    security = pod(WORKLOADS[name])["securityContext"]
    assert security["runAsNonRoot"]
    assert security["runAsUser"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod(WORKLOADS[name])["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_container_is_probed_and_has_resources(name: str) -> None:
    for container in pod(WORKLOADS[name])["containers"]:
        assert {"readinessProbe", "livenessProbe"} <= container.keys()
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_selects_its_own_pods(name: str) -> None:
    spec = WORKLOADS[name]["spec"]
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


def test_nothing_is_reached_from_outside() -> None:
    services = [each for each in ALL.values() if each["kind"] == "Service"]
    assert {service["spec"]["type"] for service in services} == {"ClusterIP"}
    assert not [name for name in ALL if name.startswith("Ingress")]
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in WORKLOADS.values()]
    for service in services:
        assert any(service["spec"]["selector"].items() <= each.items() for each in labels)


def test_every_name_that_is_referred_to_exists() -> None:
    generated = {each["name"] for each in KUSTOMIZATION["configMapGenerator"]}
    config_maps = generated | {name.split()[1] for name in ALL if name.startswith("ConfigMap ")}
    accounts = {name.split()[1] for name in ALL if name.startswith("ServiceAccount ")}
    readme = (FOLDER / "README.md").read_text("utf-8")
    secrets = set(re.findall(r"^ *secret ([a-z-]+) ", readme, re.MULTILINE))
    launcher = instance()["run_launcher"]["config"]

    pods = [pod(each) for each in WORKLOADS.values()]
    used_maps = {each["name"] for key in ("configMap", "configMapRef") for each in found(pods, key)}
    used_maps |= {*launcher["env_config_maps"], launcher["instance_config_map"]}
    assert used_maps == config_maps
    used_secrets = {
        each["name"] for key in ("secretRef", "secretKeyRef") for each in found(pods, key)
    }
    used_secrets |= {each["secretName"] for each in found(pods, "secret")}
    assert used_secrets | set(launcher["env_secrets"]) == secrets
    assert {*found(pods, "serviceAccountName"), launcher["service_account_name"]} == accounts
    for each in pods:
        mounted = {mount["name"] for mounts in found(each, "volumeMounts") for mount in mounts}
        assert {volume["name"] for volume in each["volumes"]} | {"data"} >= mounted


def test_no_manifest_holds_a_secret() -> None:
    assert "Secret" not in {each["kind"] for each in ALL.values()}
    for variables in found([pod(each) for each in WORKLOADS.values()], "env"):
        for variable in variables:
            assert "value" not in variable or "PASSWORD" not in variable["name"]


def test_all_of_ours_are_one_image() -> None:
    images = set(found([pod(each) for each in WORKLOADS.values()], "image"))
    ours = instance()["run_launcher"]["config"]["job_image"]
    assert images == {ours, "postgres:17", "chrislusf/seaweedfs:3.80"}
    assert f"-t {ours} " in (FOLDER / "Containerfile").read_text("utf-8")


def test_the_settings_are_ones_that_are_understood() -> None:
    lines = (FOLDER / "settings.env").read_text("utf-8").splitlines()
    values = dict(line.split("=", 1) for line in lines)
    services = {name.split()[1] for name in ALL if name.startswith("Service ")}
    assert values["ANOMALY_COMPUTE"].removeprefix("dask://").split(":")[0] in services
    assert values["AWS_ENDPOINT_URL"].removeprefix("http://").split(":")[0] in services
    assert values["ANOMALY_WAREHOUSE"].startswith("ducklake:postgres:")
    settings = Settings.from_environment(values)
    assert settings.warehouse == values["ANOMALY_WAREHOUSE"]
    assert settings.compute == "dask://dask-scheduler:8786"
    assert settings.roots["mvtec_ad"] == "s3://anomaly-roots/mvtec_ad"


def test_the_instance_is_one_that_dagster_understands_and_its_jobs_are_valid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Run with the packages of the image, which only tests and that image have."""
    kubernetes = pytest.importorskip("dagster_k8s")
    postgres = pytest.importorskip("dagster_postgres").DagsterPostgresStorage
    from dagster._config import process_config
    from dagster_k8s.job import (
        DagsterK8sJobConfig,
        UserDefinedDagsterK8sConfig,
        construct_dagster_k8s_job,
    )
    from kubernetes.client import ApiClient

    monkeypatch.setenv("DAGSTER_PG_PASSWORD", "secret")
    config = instance()["run_launcher"]["config"]
    parts = {kubernetes.K8sRunLauncher: config, postgres: instance()["storage"]["postgres"]}
    for kind, part in parts.items():
        checked = process_config(kind.config_type(), part)
        assert checked.success, checked.errors

    job = construct_dagster_k8s_job(
        DagsterK8sJobConfig(
            job_image=config["job_image"],
            dagster_home=config["dagster_home"],
            instance_config_map=config["instance_config_map"],
        ),
        ["dagster", "api", "execute_run"],
        "run",
        UserDefinedDagsterK8sConfig.from_dict(config["run_k8s_config"]),
    )
    manifest = ApiClient().sanitize_for_serialization(job)
    validate(manifest)
    assert pod(manifest)["securityContext"]["runAsNonRoot"]
    security = pod(manifest)["containers"][0]["securityContext"]
    assert security == pod(ALL["Deployment dask-worker"])["containers"][0]["securityContext"]


def instance() -> Manifest:
    loaded: Manifest = yaml.safe_load((FOLDER / "dagster.yaml").read_text("utf-8"))
    return loaded
