#!/usr/bin/env bash
# Makes the image of the demo, `gantry-demo/python`, unless it is there: from a registry if one answers, otherwise from
# this machine's own python3 (a few seconds, about 60 MB, no network).
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/lib.sh

image=gantry-demo/python
docker image inspect "$image" >/dev/null 2>&1 && exit 0

if [ "${GANTRY_NO_PULL:-}" = "" ] && timeout 120 docker pull -q python:3-slim >/dev/null 2>&1; then
  docker tag python:3-slim "$image"
  exit 0
fi

[ -x /usr/bin/python3 ] && [ -x /bin/busybox ] || apt_install python3 busybox-static
say "no registry answers: making the image $image from this machine's python3"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
version=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
python=/usr/bin/python$version
mkdir -p "$root"/{bin,usr/bin,usr/lib,usr/local/lib,etc,tmp,root,lib,lib64}
chmod 1777 "$root/tmp"
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"

# copy_program FILE: the program and every shared library that it loads, at the same paths, links resolved.
copy_program() {
  mkdir -p "$root$(dirname "$1")"
  cp -L "$1" "$root$1"
  { ldd "$1" 2>/dev/null || true; } | { grep -o '/[^ )]*' || true; } | sort -u | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    [ -e "$root$library" ] || cp -L "$library" "$root$library"
  done
}

copy_program "$python"
ln -s "python$version" "$root/usr/bin/python3"
ln -s python3 "$root/usr/bin/python"
cp -a "/usr/lib/python$version" "$root/usr/lib/"
rm -rf "$root/usr/lib/python$version"/{test,idlelib,tkinter,ensurepip,lib2to3,__pycache__,config-*}
find "$root/usr/lib" -name '*.so' -type f | while read -r module; do copy_program "${module#"$root"}"; done
for library in /lib/*-linux-gnu/libnss_{files,dns}.so.2; do [ ! -e "$library" ] || copy_program "$library"; done
copy_program /bin/busybox
for name in $(/bin/busybox --list); do
  [ -e "$root/bin/$name" ] || [ -e "$root/usr/bin/$name" ] || ln -s busybox "$root/bin/$name"
done
[ ! -x /bin/bash ] || copy_program /bin/bash
tar -C "$root" -c . | docker import -c 'ENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8' -c 'CMD ["python3"]' - "$image" >/dev/null
docker run --rm --network none "$image" python3 -c 'import http.server, sqlite3, unittest, zipapp'
