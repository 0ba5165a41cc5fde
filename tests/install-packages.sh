#!/bin/sh
# Install the Debian packages that are missing. Usage: install-packages.sh APT_COMMAND PACKAGE...
set -eu
apt=$1
shift
missing=
for package in "$@"; do
  if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
    missing="$missing $package"
  fi
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
$apt update -qq
# shellcheck disable=SC2086 # words on purpose
$apt install -qq -y --no-install-recommends $missing >/dev/null
