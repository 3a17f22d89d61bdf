#!/bin/bash
# A Debian machine of its own with a live systemd, and the gateway in it as docs/deploying.md says (on_machine.py):
#   sudo tests/by_hand/machine.sh [FOLDER]     some four minutes; FOLDER keeps the machine for the next time
# Needs root, the network, and: apt-get install debootstrap systemd-container
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-$(mktemp -d)}
tree=$folder/machine

[ -e "$tree/etc/debian_version" ] || debootstrap --variant=minbase \
  --include=systemd-sysv,dbus,python3,python3-venv,ca-certificates bookworm "$tree"
cp -L /etc/resolv.conf "$tree/etc/resolv.conf"
cp -L /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt"
rm -rf "$tree/root/project" "$tree"/opt/gateway "$tree"/etc/gateway "$tree"/var/lib/{,private/}gateway
rm -f "$tree"/etc/systemd/system/gateway.* "$tree"/etc/systemd/system/*.wants/gateway.*
mkdir -p "$tree/root/project"
tar -c --exclude=__pycache__ --exclude=var conf docs gateway plugins requirements.lock setup.py setup.cfg pyproject.toml \
  README.md | tar -x -C "$tree/root/project"
cp tests/by_hand/on_machine.py "$tree/root/"

# The machine has this one's network, and pip's settings for it.
systemd-nspawn --quiet --register=no --keep-unit -D "$tree" --boot --console=pipe >"$folder/boot.log" 2>&1 </dev/null &
machine=$!
trap 'kill "$machine" 2>/dev/null || true; wait "$machine" || true; [ $# -gt 0 ] || rm -rf "$folder"' EXIT
for _ in $(seq 300); do
  first=$(pgrep -P "$machine" || true)
  inside=(nsenter -t "${first:-0}" --mount --uts --ipc --pid --cgroup)
  [ -n "$first" ] && "${inside[@]}" systemctl is-system-running 2>/dev/null | grep -Eq 'running|degraded' && break
  sleep 0.2
done
"${inside[@]}" env HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin python3 /root/on_machine.py
