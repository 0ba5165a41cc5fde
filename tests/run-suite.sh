#!/bin/sh
# Run the whole suite: as root and as an ordinary user with subordinate ids; called by an ordinary user, as that user.
# Usage: run-suite.sh VENV [PYTEST_ARGUMENT...]
set -eu
venv=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."
workers=$(nproc)
suite() { "$venv/bin/python" -m pytest -q -n "$workers" -p no:cacheprovider "$@"; }

if [ "$(id -u)" != 0 ]; then
  suite "$@"
  exit
fi

status=0
echo "== the suite as root"
suite "$@" || status=$?

user=pybuild-tester
id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/sh "$user"
grep -q "^$user:" /etc/subuid || usermod --add-subuids 200000-265535 --add-subgids 200000-265535 "$user"
home=$(getent passwd "$user" | cut -d: -f6)
if ! runuser -u "$user" -- test -x "$venv/bin/pytest" -a -r pyproject.toml; then
  # The checkout is closed to other users: give that user a copy of what git holds.
  copy=$(mktemp -d /var/tmp/pybuild-suite-XXXXXX)
  trap 'rm -rf "$copy"' EXIT
  git ls-files -z | xargs -0 cp --parents -t "$copy"
  chmod -R a+rX "$copy"
  python=/usr/bin/python3
  [ -x "$python" ] || python=python3
  "$python" -m venv "$copy/.venv"
  "$copy/.venv/bin/pip" install --quiet --editable "$copy[dev]"
  chmod -R a+rX "$copy"
  venv=$copy/.venv
  cd "$copy"
fi
echo "== the suite as an ordinary user with subordinate ids"
uid=$(id -u "$user")
env -i HOME="$home" USER="$user" LOGNAME="$user" PATH="$PATH" LANG=C.UTF-8 CI="${CI:-}" PYTHONDONTWRITEBYTECODE=1 \
  HYPOTHESIS_STORAGE_DIRECTORY="$home/.hypothesis" \
  setpriv --reuid "$uid" --regid "$(id -g "$user")" --init-groups \
  "$venv/bin/python" -m pytest -q -n "$workers" -p no:cacheprovider "$@" || status=$?
exit "$status"
