#!/usr/bin/env bash
# The entry point that Spark on Kubernetes expects of an image: it starts the container with one of two words, and sets
# variables. Anything else is run as a command.
#
#   driver ARGUMENTS…   spark-submit in client mode with these, listening on $SPARK_DRIVER_BIND_ADDRESS; it ends when
#                       all that it started has ended
#   executor            the executor of $SPARK_APPLICATION_ID, with Java options from SPARK_JAVA_OPT_0, _1, …
#   COMMAND…            that command
set -euo pipefail

# Sets `state` and `group` to the state and the process group of the process with the given id.
read_process() {
  local line fields
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  # The name of the program, in brackets, may contain any character.
  read -r -a fields <<<"${line##*) }"
  state=${fields[0]} group=${fields[2]}
}

# Succeeds if another process of this process group is running.
others_run() {
  local folder state group ours
  read_process $$
  ours=$group
  for folder in /proc/[0-9]*; do
    [[ ${folder#/proc/} != "$$" ]] || continue
    read_process "${folder#/proc/}" || continue
    [[ $group != "$ours" || $state == Z ]] || return 0
  done
  return 1
}

case "${1:-}" in
driver)
  shift
  "$SPARK_HOME/bin/spark-submit" --deploy-mode client \
    --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" "$@" &
  submitted=$!
  # Kubernetes signals only the first process, and the container ends with it. Java would end at once and take its Python
  # process along, which has to release a lock and restore replicas. So both get the signal, and both are awaited.
  trap 'trap "" TERM INT; kill -TERM 0' TERM INT
  status=0
  wait "$submitted" || status=$?
  while kill -0 "$submitted" 2>/dev/null; do
    status=0
    wait "$submitted" || status=$?
  done
  while others_run; do
    sleep 0.1
  done
  exit "$status"
  ;;
executor)
  # Numbered, and may contain blanks; Spark's own come last and take precedence.
  options=()
  for ((number = 0; ; number++)); do
    name=SPARK_JAVA_OPT_$number
    [[ -v $name ]] || break
    options+=("${!name}")
  done
  classpath=${SPARK_CONF_DIR:-$SPARK_HOME/conf}
  [[ -z ${HADOOP_CONF_DIR:-} ]] || classpath+=:$HADOOP_CONF_DIR
  for more in "${SPARK_CLASSPATH:-}" "$SPARK_HOME/jars/*" "${SPARK_EXTRA_CLASSPATH:-}" "${SPARK_DIST_CLASSPATH:-}"; do
    [[ -z $more ]] || classpath+=:$more
  done
  exec "$JAVA_HOME/bin/java" "${options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" -cp "$classpath" \
    org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
    --driver-url "$SPARK_DRIVER_URL" \
    --executor-id "$SPARK_EXECUTOR_ID" \
    --cores "$SPARK_EXECUTOR_CORES" \
    --app-id "$SPARK_APPLICATION_ID" \
    --hostname "$SPARK_EXECUTOR_POD_IP" \
    --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" \
    --podName "$SPARK_EXECUTOR_POD_NAME"
  ;;
*)
  exec "$@"
  ;;
esac
