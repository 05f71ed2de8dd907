"""Storage for claims, on a cluster that has none of its own."""

from __future__ import annotations

from tests.cluster.kube import Cluster, eventually

JOBS_VOLUME, MODELS_VOLUME = "qtr-cluster-test-jobs", "qtr-cluster-test-models"


def provide_volume(cluster: Cluster, name: str, image: str) -> None:
    """Make a volume of a node's folder that our user may write to, unless the cluster grants claims by itself.

    A claim that names no class is bound to a volume that has none.
    """
    by_default = "storageclass.kubernetes.io/is-default-class"
    classes = cluster.get("storageclass")["items"]
    if any(each["metadata"].get("annotations", {}).get(by_default) == "true" for each in classes):
        return
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    host_path = {"path": f"/var/tmp/{name}", "type": "DirectoryOrCreate"}
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": host_path,
                "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
            },
        },
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "owner", "namespace": name},
            "spec": {
                "nodeName": node,
                "restartPolicy": "Never",
                "containers": [
                    {
                        "name": "owner",
                        "image": image,
                        "command": ["chown", "10001:10001", "/folder"],
                        "securityContext": {"runAsUser": 0},
                        "volumeMounts": [{"name": "folder", "mountPath": "/folder"}],
                    }
                ],
                "volumes": [{"name": "folder", "hostPath": host_path}],
            },
        },
    )
    eventually(
        lambda: cluster.get("pod", "owner", "-n", name)["status"]["phase"] == "Succeeded", 300, "no folder on the node"
    )
    cluster.kubectl("delete", "namespace", name, timeout=300)
