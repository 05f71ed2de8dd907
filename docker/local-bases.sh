#!/usr/bin/env bash
# Substitutes for the two base images, for a machine that can reach Debian's packages but no image registry.
#
#   docker/local-bases.sh        as root, on Debian with buildah and debootstrap
#
# Builds images from Debian bookworm's packages under the names that the Dockerfiles use: Python 3.11 with pip, and Java 17
# in /opt/java/openjdk. They are for testing the Dockerfiles. If a registry can be reached, use the real images.
set -euo pipefail

PYTHON_IMAGE=${PYTHON_IMAGE:-docker.io/library/python:3.11-slim-bookworm}
JRE_IMAGE=${JRE_IMAGE:-docker.io/library/eclipse-temurin:17-jre}
# shellcheck disable=SC2016  # apt's own variables
MIRROR=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -1)}
buildah() { command buildah --storage-driver "${STORAGE_DRIVER:-vfs}" "$@"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

root_of() { # NAME PACKAGES: a minimal Debian with these packages
  debootstrap --variant=minbase --include="$2" bookworm "$work/$1" "$MIRROR" >"$work/$1.log" 2>&1 ||
    { tail -n 20 "$work/$1.log" >&2; exit 1; }
  rm -rf "$work/$1"/var/lib/apt/lists/* "$work/$1"/var/cache/apt/* "$work/$1"/usr/share/{doc,man,info,locale}/*
}

commit() { # FOLDER IMAGE
  local container
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$1" / >/dev/null
  buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --env LANG=C.UTF-8 "$container"
  buildah commit --quiet --rm "$container" "$2" >/dev/null
  echo "built $2"
}

missing() { ! buildah inspect --type image "$1" >/dev/null 2>&1; }

if missing "$PYTHON_IMAGE"; then
  root_of python ca-certificates,python3.11,python3.11-venv,python3-pip
  for name in python python3 python3.11; do ln -s /usr/bin/python3.11 "$work/python/usr/local/bin/$name"; done
  commit "$work/python" "$PYTHON_IMAGE"
fi

if missing "$JRE_IMAGE"; then
  root_of java openjdk-17-jre-headless
  # Debian's Java is full of links to /etc; the real image has everything in one folder.
  find "$work/java/usr/lib/jvm" -xtype l -delete
  chroot "$work/java" sh -c 'cp -rL /usr/lib/jvm/java-17-openjdk-* /openjdk'
  mkdir -p "$work/jre/opt/java"
  mv "$work/java/openjdk" "$work/jre/opt/java/openjdk"
  commit "$work/jre" "$JRE_IMAGE"
fi
