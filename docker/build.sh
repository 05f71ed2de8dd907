#!/usr/bin/env bash
# Build both images: make images
#
#   IMAGE_TOOL    "docker", "podman" or "buildah", with global flags if needed; by default the first that works
#   BUILD_FLAGS   further flags of the build, such as --build-arg PYTHON_IMAGE=… or --secret id=pip_conf,src=…
#   CA_FILE       PEM file of the authorities to trust for the package index, behind a proxy that inspects TLS
#   IMAGE_PREFIX  prefix of the names; docker.io/library/ is what all tools add to a name without a registry
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -z ${IMAGE_TOOL:-} ]]; then
  for tool in docker podman buildah; do
    if command -v "$tool" >/dev/null && "$tool" info >/dev/null 2>&1; then
      IMAGE_TOOL=$tool
      break
    fi
  done
fi
[[ -n ${IMAGE_TOOL:-} ]] || { echo "building images needs docker (with its engine), podman or buildah" >&2; exit 1; }

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
[[ $# -gt 0 ]] || set -- server spark
for name; do
  # shellcheck disable=SC2086  # both are lists of words
  $IMAGE_TOOL build ${BUILD_FLAGS:-} ${CA_FILE:+--secret id=ca,src="$CA_FILE"} \
    --file "docker/Dockerfile.$name" \
    --tag "${IMAGE_PREFIX-docker.io/library/}qtr-$name:$version" \
    --build-arg "VERSION=$version" \
    --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
    --build-arg "CREATED=$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
    .
done
