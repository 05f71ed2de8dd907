"""Components of the service that need a cluster: a model from a volume, and mutual TLS by certificates of our own."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from grpc_client import ClientConfig, RelevanceClient
from grpc_client.config import TlsFiles
from relevance_model import Bundle, default_bundle_path, write_bundle
from relevance_stubs.relevance.v1 import relevance_pb2, relevance_pb2_grpc
from tests.cluster.kube import SERVICE, Cluster, eventually
from tests.cluster.volumes import MODELS_VOLUME, provide_volume
from tests.support.certificates import Authority

pytestmark = pytest.mark.timeout(1500)

ONE_NODE = """
  - patch: |
      apiVersion: v1
      kind: PersistentVolumeClaim
      metadata: {name: qtr-models, namespace: qtr}
      spec: {accessModes: [ReadWriteOnce]}
"""
WITHOUT_CERT_MANAGER = """
  - target: {group: cert-manager.io}
    patch: |
      $patch: delete
      apiVersion: v1
      kind: any
      metadata: {name: any}
"""


def apply_with(cluster: Cluster, component: str, patches: str) -> None:
    """Apply the local overlay with a component and patches, and wait for the roll."""
    own = cluster.folder / f"with-{component}"
    own.mkdir()
    (own / "kustomization.yaml").write_text(
        f"resources: [../overlays/local]\ncomponents: [../components/{component}]\npatches:{patches}"
    )
    cluster.apply_folder(own.name)
    cluster.rolled_out()


@pytest.fixture
def plain_again(cluster: Cluster) -> Iterator[Cluster]:
    """Apply the plain overlay after the test."""
    yield cluster
    cluster.apply_folder("overlays/local")
    cluster.rolled_out()


def test_an_empty_volume_gets_a_model_and_a_new_one_is_swapped_in(plain_again: Cluster, tmp_path: Path) -> None:
    cluster = plain_again
    image = cluster.pods()[0]["spec"]["containers"][0]["image"]
    provide_volume(cluster, MODELS_VOLUME, image)
    apply_with(cluster, "model-from-volume", ONE_NODE)
    [name, *_] = cluster.ready()
    states = cluster.get("pod", name, "-n", SERVICE)["status"]["initContainerStatuses"]
    assert [state["state"]["terminated"]["exitCode"] for state in states] == [0]
    new = tmp_path / "new"
    new.mkdir()
    for file in default_bundle_path().iterdir():
        (new / file.name).write_bytes(file.read_bytes())
    write_bundle(new, Bundle.load(new).manifest.model_copy(update={"version": "99"}))
    cluster.apply(putter(image))
    cluster.kubectl("wait", "--for=condition=Ready", "pod/model-putter", "-n", SERVICE, "--timeout=120s", timeout=150)
    cluster.kubectl("cp", str(new), f"{SERVICE}/model-putter:/models/99")
    link = "ln -sfn 99 /models/.next && mv -T /models/.next /models/current"
    cluster.kubectl("exec", "-n", SERVICE, "model-putter", "--", "sh", "-c", link)
    eventually(lambda: "bundle swapped" in cluster.logs(SERVICE, name), 120, "the pod does not swap")
    with cluster.forwarded(f"pod/{name}", 8001) as address, RelevanceClient(ClientConfig(address)) as client:
        assert client.model().ref.version == "99"
    cluster.kubectl("delete", "pod", "model-putter", "-n", SERVICE, "--grace-period=1")


def putter(image: str) -> dict[str, object]:
    """Return the pod of docs/operating.md that mounts the models for writing."""
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "putter",
        "image": image,
        "command": ["sleep", "infinity"],
        "securityContext": restricted,
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "model-putter", "namespace": SERVICE},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "qtr-models"}}],
        },
    }


def test_mutual_tls_admits_a_certificate_of_its_authority_alone(plain_again: Cluster, tmp_path: Path) -> None:
    cluster, authority = plain_again, Authority()
    served = authority.sign("qtr-server", alternatives=("localhost", "127.0.0.1", "qtr-server-headless.qtr.svc"))
    data = {"tls.crt": served.certificate, "tls.key": served.key, "ca.crt": authority.certificate}
    encoded = {name: base64.b64encode(content).decode() for name, content in data.items()}
    metadata = {"name": "qtr-server-tls", "namespace": SERVICE}
    cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded})
    apply_with(cluster, "mtls", WITHOUT_CERT_MANAGER)
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    ours = authority.sign("caller").write(tmp_path, "caller")
    strangers = Authority("another").sign("stranger").write(tmp_path, "stranger")
    with cluster.forwarded(f"pod/{cluster.ready()[0]}", 8001) as address:
        ca = str(tmp_path / "ca.crt")
        with RelevanceClient(ClientConfig(address, tls=TlsFiles(ca, str(ours[0]), str(ours[1])))) as client:
            assert client.score("usb c cable", ["USB-C cable 2 m"]).titles[0].score is not None
        credentials = grpc.ssl_channel_credentials(
            authority.certificate, strangers[1].read_bytes(), strangers[0].read_bytes()
        )
        with grpc.secure_channel(address, credentials) as channel:
            stub = relevance_pb2_grpc.RelevanceServiceStub(channel)
            with pytest.raises(grpc.RpcError) as refused:
                stub.GetModel(relevance_pb2.GetModelRequest(), timeout=20)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    events = [json.loads(line) for line in cluster.logs(SERVICE, cluster.ready()[0]).splitlines() if line[:1] == "{"]
    assert [event["msg"] for event in events].count("certificate in use") == 1
