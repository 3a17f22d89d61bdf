#!/bin/bash
# Builds the image where there is no registry, and runs what was built: sudo tests/by_hand/image.sh [FOLDER]
# What the Dockerfile is built from is stood in for by Debian's Python. Needs root, the network, and:
# apt-get install debootstrap podman buildah curl
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-$(mktemp -d)}
mkdir -p "$folder/etc" "$folder/state"
printf '[storage]\ndriver = "vfs"\nrunroot = "%s/run"\ngraphroot = "%s/graph"\n' "$folder" "$folder" >"$folder/storage.conf"
export CONTAINERS_STORAGE_CONF=$folder/storage.conf

if [ ! -d "$folder/base" ]; then
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder/base"
  chroot "$folder/base" python3 -m venv /usr/local   # where python:3.11-slim has it, with a pip that can be taken out
  cp -L /etc/ssl/certs/ca-certificates.crt "$folder/base/etc/ssl/certs/ca-certificates.crt"
  tar -C "$folder/base" --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' -c . |
    podman import - docker.io/library/python:3.11-slim
fi
buildah bud --layers=false --isolation chroot --network host --pull-never --format docker --tag gateway:local .

image=$(buildah mount "$(buildah from --pull-never gateway:local)")
cat >"$folder/etc/gateway.yaml" <<'YAML'
state: sqlite:////var/lib/gateway/state.db
store: sqlite:////var/lib/gateway/gateway.db
plugins: [{ledger: {spool: /var/lib/gateway/spool}}]
keys: [{name: tester, key: "${TESTER_KEY}"}]
channels: [{name: echo, provider: echo, models: [doctor]}]
YAML
chmod 0755 "$folder" "$folder/etc" && chmod 0700 "$folder/state" && chown 10001:10001 "$folder/state"
mkdir -p "$image/etc/gateway"
setting() { buildah inspect --type image --format "{{index .Docker.Config.$1 $2}}" gateway:local; }
variables=(TESTER_KEY=sk-tester)
for number in $(seq 0 6); do variables+=("$(setting Env "$number")"); done
variables+=(GATEWAY_BIND=127.0.0.1:18080)
as_user=(setpriv --reuid 10001 --regid 10001 --clear-groups --inh-caps=-all)

# As an engine would: namespaces of its own, a root that is read-only, nobody's rights.
cat >"$folder/start.sh" <<START
set -e
mount --make-rprivate / && mount --bind $image $image && mount -o remount,bind,ro $image
mount -t proc proc $image/proc && mount --bind /dev $image/dev && mount -t tmpfs -o mode=1777 tmpfs $image/tmp
mount --bind $folder/state $image/var/lib/gateway && mount --bind -o ro $folder/etc $image/etc/gateway
exec env -i ${variables[*]} chroot $image ${as_user[*]} --bounding-set=-all --no-new-privs \\
  sh -c 'cd /var/lib/gateway; exec gateway serve'
START
unshare --kill-child --mount --pid --fork --ipc --uts sh "$folder/start.sh" >"$folder/log" 2>&1 &
outside=$!
trap 'kill "$outside" 2>/dev/null || true; [ $# -gt 0 ] || rm -rf "$folder"' EXIT
for _ in $(seq 100); do curl -sf -m 2 http://127.0.0.1:18080/healthz && break; kill -0 "$outside"; sleep 0.2; done
first=$(pgrep -P "$outside")
inside=(nsenter -t "$first" --mount --pid --uts --ipc --root --wd env -i "${variables[@]}" "${as_user[@]}")
ask() { curl -sSN -m 60 http://127.0.0.1:18080/v1/chat/completions -H 'x-api-key: sk-tester' -H 'content-type: application/json' \
          -d '{"model": "doctor", "stream": true, "messages": [{"role": "user", "content": "[[delay 0.2]] a b c d e f g h"}]}'; }

grep -Eq '^Uid:\s+10001' "/proc/$first/status" && grep -Eq '^CapEff:\s+0+$' "/proc/$first/status"
ask | tail -2 | grep -q '^data: \[DONE\]$' && echo "a stream: whole"
check=$(buildah inspect --type image --format '{{index .Docker.Config.Healthcheck.Test 3}}' gateway:local)
"${inside[@]}" /venv/bin/python -c "$check" && echo "HEALTHCHECK: well"
! "${inside[@]}" GATEWAY_BIND=127.0.0.1:1 /venv/bin/python -c "$check" 2>/dev/null && echo "HEALTHCHECK of a dead one: ill"
! "${inside[@]}" sh -c 'touch /app/x || touch /etc/x' 2>/dev/null && echo "its root: read-only"
! "${inside[@]}" sh -c 'python -c "import pip" || /venv/bin/python -c "import pip"' 2>/dev/null && echo "pip: gone"
"${inside[@]}" gateway doctor | grep 'running: process 1 serves'
ask >"$folder/last" &
asker=$!
until [ -s "$folder/last" ]; do kill -0 "$asker"; sleep 0.1; done
kill -TERM "$first"
wait "$asker" "$outside"
grep -q '^data: \[DONE\]$' "$folder/last" && echo "SIGTERM with a stream open: it came to its end, exit code 0"
