#!/usr/bin/env bash
# Build both images and test them as the pods run them, as user 10001, without capabilities and with a read-only root: an
# empty volume gets its first model, the server answers with it, the Spark image labels the sample as the CronJob starts it
# and as Spark's cluster mode does, and every path that a manifest names is in the images.
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
mkdir -m 777 "$work/models" "$work/out" "$work/work" "$work/tmp"
server=
finish() {
  [[ -z $server ]] || { kill -TERM "$server" 2>/dev/null; wait "$server" || true; }
  rm -rf "$work"
}
trap finish EXIT

QTR_IMAGE_TOOL=$IMAGE_TOOL python -m pytest -q tests/manifests/test_image_content.py
echo "the images hold what the manifests name"

# As the init container first-model.
docker/run_readonly.sh "${prefix}qtr-server:$version" --bind "$work/models:/models:rw" --no-entrypoint -- \
  python -m grpc_server.first_model /models
echo "the empty volume has its first model"

docker/run_readonly.sh "${prefix}qtr-server:$version" --bind "$work/models:/models" --env QTR_BUNDLE=/models/current -- \
  --port "$port" --metrics-port 0 >"$work/server.log" 2>&1 &
server=$!
for _ in $(seq 120); do
  ! grep -q '"msg": "serving"' "$work/server.log" || break
  kill -0 "$server" || { cat "$work/server.log" >&2; exit 1; }
  sleep 0.5
done
grpcurl -plaintext -d '{"query": "usb c cable", "titles": ["USB-C cable 2 m", "Desk lamp"]}' \
  "127.0.0.1:$port" relevance.v1.RelevanceService/Score
echo "the server answers"

job() { # FLAGS OF run_readonly.sh -- ARGUMENTS OF THE ENTRY POINT, without those of the job
  docker/run_readonly.sh "${prefix}qtr-spark:$version" --bind "$PWD/examples:/examples" --bind "$work/out:/data:rw" \
    --bind "$work/work:/work:rw" --bind "$work/tmp:/tmp:rw" "$@" --input /examples/sample/pairs.jsonl \
    --output /data --log-format json --target "127.0.0.1:$port" 2>"$work/spark.log" | tee "$work/job.log" ||
    { tail -n 40 "$work/spark.log" >&2; exit 1; }
  grep -q '"msg": "run finished"' "$work/job.log"
}

job -- spark-submit --master 'local[2]' /opt/qtr/label_pairs.py --run-date 2026-11-01
find "$work/out/labels/run_date=2026-11-01" -name '*.parquet' | grep -q .
echo "the job has published"

# Cluster mode mounts Spark's configuration, and starts the driver by the entry point's first word.
mkdir -m 755 "$work/conf"
echo 'spark.master=local[2]' >"$work/conf/spark.properties"
job --bind "$work/conf:/opt/spark/conf" --env SPARK_DRIVER_BIND_ADDRESS=127.0.0.1 -- \
  driver --properties-file /opt/spark/conf/spark.properties --class org.apache.spark.deploy.PythonRunner \
  local:///opt/qtr/label_pairs.py --run-date 2026-11-02
find "$work/out/labels/run_date=2026-11-02" -name '*.parquet' | grep -q .
echo "the driver of cluster mode has published"

kill -TERM "$server"
wait "$server"
server=
grep -q '"msg": "stopped"' "$work/server.log"
echo "the server has drained"
