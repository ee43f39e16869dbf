# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Debian's packages and sources without touching the machine's own apt set-up: a sources.list, lists
# and caches of ours under $SEVMON_CACHE. (A deb-src line in /etc/apt can conflict with the
# machine's Signed-By options and would then break every apt call.)

SEVMON_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
SEVMON_CACHE=${SEVMON_CACHE:-$SEVMON_ROOT/.cache}
SEVMON_MIRROR=${SEVMON_MIRROR:-http://deb.debian.org/debian}
SEVMON_SECURITY_MIRROR=${SEVMON_SECURITY_MIRROR:-http://deb.debian.org/debian-security}
export SEVMON_ROOT SEVMON_CACHE SEVMON_MIRROR SEVMON_SECURITY_MIRROR

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# Prepare the private apt and fetch its lists, at most once an hour. Sets sevmon_apt_config.
# `sevmon_apt_setup trixie` knows that release's sources, and nothing of bookworm: one list with
# both would let names without a version mean the newer release's.
sevmon_apt_setup() {
  local release=$1
  local dir=$SEVMON_CACHE/apt kinds=(deb deb-src)
  [[ $release == bookworm ]] || dir+=-$release kinds=(deb-src)
  sevmon_apt_config=$dir/apt.conf
  mkdir -p "$dir/lists/partial" "$dir/archives/partial"
  local key=/usr/share/keyrings/debian-archive-keyring.gpg suite component
  local mirror=$SEVMON_MIRROR security=$SEVMON_SECURITY_MIRROR
  for component in "${kinds[@]}"; do
    for suite in "$mirror $release" "$mirror $release-updates" "$mirror $release-backports" \
      "$security $release-security"; do
      echo "$component [signed-by=$key] $suite main"
    done
  done >"$dir/sources.list"
  cat >"$dir/apt.conf" <<CONF
Dir::Etc::SourceList "$dir/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$dir/lists";
Dir::Cache::Archives "$dir/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Sandbox::User "root";
Acquire::Retries "3";
CONF
  if [[ -z $(find "$dir/updated" -mmin -60 2>/dev/null) ]]; then
    APT_CONFIG=$sevmon_apt_config apt-get -qq update ||
      die "cannot fetch Debian's package lists from $mirror"
    touch "$dir/updated"
  fi
}

# sevmon_apt apt-get|apt-cache ARGS...
sevmon_apt() { APT_CONFIG=$sevmon_apt_config "$@"; }

# sevmon_source_tarball PACKAGE VERSION SUFFIX SHA256: into this folder, PACKAGE_UPSTREAM.orig.tar.SUFFIX
# of Debian's source package, if it is served and is the one with that digest. Fails if not; what apt
# said is in apt.log.
#
# apt-get fails when any file of a source package is missing (the .dsc of an old version often is),
# although the tarball, which is all that is needed, has arrived. It also refuses a version that the
# index no longer lists, whose files stay in the pool for a while after a newer one came: there apt's
# own downloader takes them. The digest decides what is used.
sevmon_source_tarball() {
  local package=$1 version=$2 sha256=$4 tarball=$1_${2%-*}.orig.tar.$3 pool
  rm -f "$tarball"
  sevmon_apt apt-get -qq source --download-only "$package=$version" >apt.log 2>&1 || true
  for pool in "$SEVMON_MIRROR/pool" "$SEVMON_SECURITY_MIRROR/pool/updates"; do
    [[ ! -f $tarball ]] || break
    sevmon_apt /usr/lib/apt/apt-helper download-file \
      "$pool/main/${package:0:1}/$package/${tarball//+/%2b}" "$tarball" "SHA256:$sha256" \
      >>apt.log 2>&1 || rm -f "$tarball"
  done
  [[ -f $tarball ]] && echo "$sha256  $tarball" | sha256sum --quiet --check - >>apt.log 2>&1
}
