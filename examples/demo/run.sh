#!/bin/sh
# Build an image from a Dockerfile with several stages, on a base made on the spot, and write a tarball for `docker load`.
# Usage: run.sh [PYBUILD]; the result is out/demo.tar at the top of the project.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
pybuild=$(command -v "${1:-pybuild}")
case $pybuild in /*) ;; *) pybuild=$PWD/$pybuild ;; esac
out=$here/../../out
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The base: a busybox of this machine with links to its commands, in the local store as demo/base.
mkdir -p "$work/bin"
cp /bin/busybox "$work/bin/busybox"
cat > "$work/Dockerfile" <<'DOCKERFILE'
FROM scratch
COPY bin /bin
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox --install -s /bin && mkdir -p /etc /tmp && echo root:x:0:0::/root:/bin/sh > /etc/passwd && echo root:x:0: > /etc/group"]
CMD ["sh"]
DOCKERFILE
"$pybuild" -t demo/base:latest "$work"

# The image itself.
"$pybuild" -t demo:latest -o "type=docker,dest=$out/demo.tar" --build-arg GREETING="hello from pybuild" "$here/context"
"$pybuild" images
echo
echo "wrote out/demo.tar: docker load -i out/demo.tar && docker run --rm demo"
