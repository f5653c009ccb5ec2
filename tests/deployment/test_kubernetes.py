"""The manifests are what Kubernetes takes, and fit each other, the image and the settings."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from inkling.settings import PREFIX, Settings

FOLDER = Path(__file__).resolve().parents[2] / "docker" / "kubernetes"
VERSIONS = ("1.29", "1.33")
KUSTOMIZE = "kustomize.config.k8s.io/v1beta1"
PATCHES = ("one-gpu.yaml",)
"""Parts of a manifest, which are whole once they are put together with the rest."""

Manifest = dict[str, Any]


def read(path: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(path.read_text()))


def manifests() -> Iterator[tuple[str, Manifest]]:
    for path in sorted(FOLDER.rglob("*.yaml")):
        for number, manifest in enumerate(read(path)):
            if manifest["apiVersion"] != KUSTOMIZE and path.name not in PATCHES:
                yield f"{path.relative_to(FOLDER)}[{number}]", manifest


def rendered(variant: str) -> list[Manifest]:
    """What kubectl makes of a variant; skips where there is no kubectl."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("needs kubectl")
    done = subprocess.run(
        [kubectl, "kustomize", FOLDER / variant], capture_output=True, text=True, check=True
    )
    return list(yaml.safe_load_all(done.stdout))


def deployment(manifests: list[Manifest]) -> Manifest:
    (found,) = [each for each in manifests if each["kind"] == "Deployment"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("name", "manifest"), [*manifests()])
def test_kubernetes_takes_every_manifest(name: str, manifest: Manifest, version: str) -> None:
    del name
    kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("variant", ["base", "gpu", "trial"])
def test_every_variant_is_whole(variant: str) -> None:
    found = rendered(variant)
    for manifest in found:
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)
    pod = deployment(found)["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    for manifest in found:
        if manifest["metadata"]["name"] != "inkling":
            continue
        selectors = {
            "Service": lambda spec: spec["selector"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
            "Deployment": lambda spec: spec["selector"]["matchLabels"],
        }
        if manifest["kind"] in selectors:
            chosen = selectors[manifest["kind"]](manifest["spec"])
            assert chosen
            assert chosen.items() <= labels, manifest["kind"]
    gpus = pod["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu")
    assert gpus == ("1" if variant == "gpu" else None)


def test_the_deployment_sets_what_the_server_knows() -> None:
    (manifest,) = read(FOLDER / "base" / "deployment.yaml")
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert {entry["name"] for entry in container["env"]} <= known
    workers = next(e["value"] for e in container["env"] if e["name"] == "INKLING_WORKERS")
    assert workers == container["resources"]["requests"]["cpu"]


@pytest.mark.parametrize(
    ("file", "name"), [("base/deployment.yaml", "inkling"), ("trial/redis.yaml", "redis")]
)
def test_pods_are_as_closed_as_the_restricted_standard_asks(file: str, name: str) -> None:
    pod = next(
        each["spec"]["template"]["spec"]
        for each in read(FOLDER / file)
        if each["kind"] in {"Deployment", "StatefulSet"}
    )
    (container,) = pod["containers"]
    assert container["name"] == name
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    closed = container["securityContext"]
    assert not closed["allowPrivilegeEscalation"]
    assert closed["readOnlyRootFilesystem"]
    assert closed["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]


def test_what_is_asked_has_an_answer(tmp_path: Path) -> None:
    """The probes' paths are routes, and their port the one that the image listens on."""
    from inkling.main import create_app

    described = create_app(Settings(session_folder=tmp_path)).openapi()["paths"]
    (manifest,) = read(FOLDER / "base" / "deployment.yaml")
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in described
        assert ports[asked["port"]] == 8000


def test_the_autoscaler_goes_by_a_metric_that_there_is() -> None:
    (manifest,) = read(FOLDER / "base" / "autoscaling.yaml")
    (metric,) = manifest["spec"]["metrics"]
    source = (FOLDER.parents[1] / "app" / "api" / "metrics.py").read_text()
    assert f'"{metric["pods"]["metric"]["name"]}"' in source
