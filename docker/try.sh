#!/usr/bin/env bash
# Build both images and test them as the pods run them: the server answers, and the Spark image labels the sample with it,
# each as user 10001, without capabilities and with a read-only root.
#
#   docker/try.sh                                     with docker or podman
#   IMAGE_TOOL="buildah --storage-driver vfs" BUILD_FLAGS="--isolation chroot" docker/try.sh
#
# If no image registry can be reached, run docker/local-bases.sh first. Needs grpcurl (part of the test packages).
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" IMAGE_TOOL=${IMAGE_TOOL:-docker}

docker/build.sh
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
prefix=${IMAGE_PREFIX-docker.io/library/}
port=${PORT:-18001}
work=$(mktemp -d)
mkdir -m 777 "$work/out" "$work/work" "$work/tmp"
server=
finish() {
  [[ -z $server ]] || { kill -TERM "$server" 2>/dev/null; wait "$server" || true; }
  rm -rf "$work"
}
trap finish EXIT

docker/run_readonly.sh "${prefix}qtr-server:$version" -- --port "$port" --metrics-port 0 >"$work/server.log" 2>&1 &
server=$!
for _ in $(seq 120); do
  ! grep -q '"msg": "serving"' "$work/server.log" || break
  kill -0 "$server" || { cat "$work/server.log" >&2; exit 1; }
  sleep 0.5
done
grpcurl -plaintext -d '{"query": "usb c cable", "titles": ["USB-C cable 2 m", "Desk lamp"]}' \
  "127.0.0.1:$port" relevance.v1.RelevanceService/Score
echo "the server answers"

docker/run_readonly.sh "${prefix}qtr-spark:$version" --bind "$PWD/examples:/examples" --bind "$work/out:/data:rw" \
  --bind "$work/work:/work:rw" --bind "$work/tmp:/tmp:rw" -- \
  spark-submit --master 'local[2]' /opt/qtr/label_pairs.py --input /examples/sample/pairs.jsonl --output /data/out \
  --run-date 2026-11-01 --log-format json --target "127.0.0.1:$port" 2>"$work/spark.log" | tee "$work/job.log" ||
  { tail -n 40 "$work/spark.log" >&2; exit 1; }
grep -q '"msg": "run finished"' "$work/job.log"
find "$work/out" -name '*.parquet' | grep -q . && echo "the job has published"

kill -TERM "$server"
wait "$server"
server=
grep -q '"msg": "stopped"' "$work/server.log"
echo "the server has drained"
