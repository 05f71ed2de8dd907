#!/usr/bin/env bash
# What Spark on Kubernetes expects of an image: it starts the container with one of two words and says the rest by
# variables. Anything else is a command of one's own.
#
#   driver ARGUMENTS…   spark-submit in client mode with these, listening on $SPARK_DRIVER_BIND_ADDRESS
#   executor            the executor of $SPARK_APPLICATION_ID, with Java options from SPARK_JAVA_OPT_0, _1, …
#   COMMAND…            that command
set -euo pipefail

case "${1:-}" in
driver)
  shift
  exec "$SPARK_HOME/bin/spark-submit" --deploy-mode client \
    --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" "$@"
  ;;
executor)
  # Numbered, and free to hold blanks; Spark's own come last and win.
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
