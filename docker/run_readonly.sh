#!/usr/bin/env bash
# Run a command in an image as user 10001, with a read-only root and without capabilities, like the pods.
#
#   docker/run_readonly.sh IMAGE [--bind FROM:TO[:rw]]… [--env NAME=VALUE]… [--no-entrypoint] [--] [COMMAND…]
#
# COMMAND are arguments of the image's entry point, as `args` of a container; with --no-entrypoint a command of their own,
# as `command`.
#
# With docker or podman as IMAGE_TOOL (see build.sh). buildah cannot run containers; with it, the command runs in a mount
# namespace and chroot (as root): file system, user and capabilities are those of a container, network and processes are
# those of the machine.
set -euo pipefail

image=$1
shift
binds=()
variables=()
replaced=
while [[ $# -gt 0 ]]; do
  case $1 in
  --bind) binds+=("$2"); shift 2 ;;
  --env) variables+=("$2"); shift 2 ;;
  --no-entrypoint) replaced=yes; shift ;;
  --) shift; break ;;
  *) break ;;
  esac
done

if [[ ${IMAGE_TOOL:-docker} != *buildah* ]]; then
  flags=(--rm --init --read-only --user 10001:10001 --cap-drop ALL --security-opt no-new-privileges --network host)
  for bind in "${binds[@]}"; do [[ $bind == *:rw ]] && flags+=(--volume "$bind") || flags+=(--volume "$bind:ro"); done
  for variable in "${variables[@]}"; do flags+=(--env "$variable"); done
  [[ -z $replaced ]] || flags+=(--entrypoint "")
  # shellcheck disable=SC2086  # a list of words
  exec ${IMAGE_TOOL:-docker} run "${flags[@]}" "$image" "$@"
fi

container=$($IMAGE_TOOL from "$image")
root=$($IMAGE_TOOL mount "$container")
trap '$IMAGE_TOOL rm "$container" >/dev/null' EXIT
mapfile -t environment < <($IMAGE_TOOL inspect --format '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' "$container" | grep .)
mapfile -t entrypoint < <($IMAGE_TOOL inspect --format '{{range .OCIv1.Config.Entrypoint}}{{println .}}{{end}}' "$container" | grep .)
[[ -z $replaced ]] || entrypoint=()
folder=$($IMAGE_TOOL inspect --format '{{.OCIv1.Config.WorkingDir}}' "$container")
[[ $# -gt 0 ]] || mapfile -t arguments < <($IMAGE_TOOL inspect --format '{{range .OCIv1.Config.Cmd}}{{println .}}{{end}}' "$container" | grep .)
mkdir -p "$root"/{proc,dev,sys,etc}
# A container runtime provides these files.
for file in /etc/hosts /etc/resolv.conf; do
  touch "$root$file"
  binds+=("$file:$file")
done

# The mounts are made in a new namespace and end with it.
inside='
  set -euo pipefail
  root=$1; folder=$2; binds=$3; shift 3
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount --rbind --make-rslave /sys "$root/sys"
  while IFS=: read -r from to mode; do
    [[ -n $from ]] || continue
    mkdir -p "$root$to" 2>/dev/null || true
    mount --bind "$from" "$root$to"
    [[ $mode == rw ]] || mount -o remount,bind,ro "$root$to"
  done <<<"$binds"
  mount -o remount,bind,ro "$root"
  exec chroot "$root" /usr/bin/setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs \
    --inh-caps=-all --bounding-set=-all sh -c "cd \"\$0\" && exec \"\$@\"" "$folder" "$@"
'
# In a session of its own: the driver's entry point waits for every process of its group, as for those of a container.
setsid unshare --mount --propagation private -- bash -c "$inside" bash "$root" "${folder:-/}" "$(printf '%s\n' "${binds[@]}")" \
  env -i "${environment[@]}" "${variables[@]}" "${entrypoint[@]}" "${arguments[@]:-$@}" &
child=$!
# A signal to this script is passed to the command. It ends the first wait, but not yet the command.
trap 'kill -TERM "$child" 2>/dev/null' TERM INT
status=0
wait "$child" || status=$?
while kill -0 "$child" 2>/dev/null; do
  status=0
  wait "$child" || status=$?
done
exit "$status"
