"""What manifests say about the inside of an image must be there, with the right owner."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator, Mapping

from tests.manifests.image_files import ImageFiles
from tests.manifests.policy import Violation
from tests.manifests.resources import Manifests, Pod, Resource

Images = Mapping[str, ImageFiles]
Rule = Callable[[Manifests, Images], Iterator[str]]
RULES: dict[str, Rule] = {}
USER = 10001
# Not a part of an address, such as https://host/path; local:// is Spark's word for "in the image".
_PATH = re.compile(r"(?:^|[\s=\"':\[(]|local://)(/[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*)")
_WRITTEN_BY_SPARK = {"driver", "executor"}


def rule(function: Rule) -> Rule:
    """Add a function to the rules, under its name."""
    RULES[function.__name__.replace("_", "-")] = function
    return function


def check_images(manifests: Manifests, images: Images) -> list[Violation]:
    """Return everything that breaks a rule."""
    return [Violation(name, sentence) for name, found in RULES.items() for sentence in found(manifests, images)]


@rule
def links_resolve(manifests: Manifests, images: Images) -> Iterator[str]:
    """A link to a folder of an earlier build stage leads nowhere."""
    for name, image in images.items():
        for path, entry in image.entries.items():
            if path.startswith("/opt/") and stat.S_ISLNK(entry.mode) and image.resolve(path) is None:
                yield f"{name}: {path} leads to {entry.link}, which is not there"


@rule
def programs_exist(manifests: Manifests, images: Images) -> Iterator[str]:
    """A container whose program is not there never starts."""
    for pod, container, image in _containers(manifests, images):
        where = f"{pod.owner}, container {container['name']}"
        command = [*container.get("command", image.entrypoint)]
        for name in [command[0], *_started_by_entrypoint(container, command)]:
            if image.program(name) is None:
                yield f"{where} runs {name}, which is no program in the image"
        if "-m" in command:
            module = command[command.index("-m") + 1].replace(".", "/")
            if not any(path.endswith(f"/site-packages/{module}.py") for path in image.entries):
                yield f"{where} runs the module {module}, which the image lacks"


@rule
def paths_exist(manifests: Manifests, images: Images) -> Iterator[str]:
    """Every path that is named is in the image or in a volume; in a volume of settings, under that very name."""
    for pod, container, image in _containers(manifests, images):
        mounts = _mounts(manifests, pod, container)
        for source, text in _texts(manifests, container, image):
            for path in _PATH.findall(text):
                at = max((place for place in mounts if f"{path}/".startswith(f"{place}/")), key=len, default=None)
                if at is None:
                    missing = image.resolve(path) is None
                else:
                    names = mounts[at]
                    missing = names is not None and path != at and path[len(at) + 1 :] not in names
                if missing:
                    yield f"{pod.owner}, container {container['name']}: {source} names {path}, which is not there"


@rule
def programs_are_not_ours_to_write(manifests: Manifests, images: Images) -> Iterator[str]:
    """A process that can change its own program keeps what was planted there."""
    for name, image in images.items():
        for path, entry in image.entries.items():
            writable = entry.owner == USER or (entry.mode & 0o022 and not stat.S_ISLNK(entry.mode))
            if path.startswith("/opt/") and writable:
                yield f"{name}: {path} may be changed by the user that runs it"


@rule
def volumes_are_ours_to_write(manifests: Manifests, images: Images) -> Iterator[str]:
    """A new volume of Docker gets the owner of the folder that it is mounted at."""
    for pod, container, image in _containers(manifests, images):
        for mount in container.get("volumeMounts", []):
            found = image.resolve(mount["mountPath"])
            ours = found and (found[1].owner == USER or found[1].mode & 0o002)
            if found and not ours and not mount.get("readOnly"):
                yield f"{pod.owner}: {mount['mountPath']} belongs to {found[1].owner} in the image"


@rule
def user_of_the_image(manifests: Manifests, images: Images) -> Iterator[str]:
    """The image's own user is the pods': outside of Kubernetes nothing else sets it."""
    for pod, container, image in _containers(manifests, images):
        context = pod.spec["securityContext"]
        if image.user != f"{context['runAsUser']}:{context['runAsGroup']}":
            yield f"{pod.owner}: {container.get('image', 'the image')} runs as {image.user} elsewhere"


def _containers(manifests: Manifests, images: Images) -> Iterator[tuple[Pod, Resource, ImageFiles]]:
    for pod in manifests.pods():
        for container in pod.containers():
            # Executors run the driver's image, which Spark sets.
            name = container.get("image", "qtr-spark").partition("@")[0].rpartition("/")[2].partition(":")[0]
            yield pod, container, images[name]


def _started_by_entrypoint(container: Resource, command: list[str]) -> list[str]:
    """Return the program that the Spark image's entry point starts for the container's arguments."""
    arguments = container.get("args", [])
    if not command[0].endswith("/entrypoint.sh") or not arguments or arguments[0] in _WRITTEN_BY_SPARK:
        return []
    return [str(arguments[0])]


def _mounts(manifests: Manifests, pod: Pod, container: Resource) -> dict[str, set[str] | None]:
    """Return the names of the files at each place of a volume; `None` where they are not known before the pod runs."""
    volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
    data = {each["metadata"]["name"]: set(each["data"]) for each in manifests.of("ConfigMap")}
    return {
        mount["mountPath"]: data.get(volumes[mount["name"]].get("configMap", {}).get("name"))
        for mount in container.get("volumeMounts", [])
    }


def _texts(manifests: Manifests, container: Resource, image: ImageFiles) -> Iterator[tuple[str, str]]:
    """Return everything that names a path: words of the command, variables, the mounted Spark configuration."""
    for word in (*container.get("command", image.entrypoint), *container.get("args", [])):
        yield "the command", str(word)
    for name, value in image.environment.items():
        yield name, value
    for variable in container.get("env", []):
        yield variable["name"], variable.get("value", "")
    for source in container.get("envFrom", []):
        for name, value in manifests.one("ConfigMap", _without_hash(source["configMapRef"]["name"]))["data"].items():
            yield name, value
    for resource in manifests.of("ConfigMap"):
        if "spark-defaults.conf" in resource["data"] and container["name"] == "driver":
            for line in resource["data"]["spark-defaults.conf"].splitlines():
                if not line.startswith("#"):
                    yield "spark-defaults.conf", line
    for application in manifests.of("ScheduledSparkApplication"):
        yield "mainApplicationFile", application["spec"]["template"]["mainApplicationFile"]


def _without_hash(name: str) -> str:
    return name.rpartition("-")[0]
