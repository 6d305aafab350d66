#!/bin/sh -e
# Install the Debian packages given, and stop the services that their installation starts: the lab starts its own.
# A package that is there already is left alone, and so is its service.
new=
for package in "$@"; do
  dpkg -s "$package" >/dev/null 2>&1 || new="$new $package"
done
[ -n "$new" ] || exit 0
apt-get update -qq
apt-get install -y -qq --no-install-recommends $new
for package in $new; do
  case "$package" in
    rabbitmq-server) services="rabbitmq-server epmd.socket epmd" ;;
    haproxy | mosquitto | redis-server) services=$package ;;
    *) continue ;;
  esac
  for service in $services; do
    if command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ]; then
      systemctl disable -q --now "$service" || true
    elif [ -x "/etc/init.d/$service" ]; then
      "/etc/init.d/$service" stop >/dev/null 2>&1 || true
    fi
  done
done
