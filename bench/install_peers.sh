#!/usr/bin/env bash
# Puts the mail servers that Postroad is compared with into one folder, without installing any of them on this machine:
# nothing is started, and nothing outside the folder changes. What is there already is left as it is.
#
#     bench/install_peers.sh [FOLDER]        the folder: $POSTROAD_PEERS, or else .peers/ beside this script
#
# OpenSMTPD, Exim and Dovecot come from Debian's packages: two of them would remove an installed Postfix, and all three
# would start. Each is unpacked, with those of its dependencies that are missing here. Haraka comes from npm.
set -euo pipefail
folder=$(realpath -m "${1:-${POSTROAD_PEERS:-$(dirname "$0")/.peers}}")
haraka=3.3.4
mkdir -p "$folder"
parts=$(mktemp -d "$folder/.parts-XXXXXX") # made whole here, then moved into place
trap 'rm -rf "$parts"' EXIT
chmod 755 "$parts"
failed=0

# What apt would have to add for these packages: lines "Inst NAME (VERSION …" (an upgrade says its old version first).
needed() {
  apt-get --simulate --no-install-recommends install "$@" | sed -n 's/^Inst \([^ ]*\) (.*/\1/p'
}

unpacked() { # NAME PACKAGE...
  local name=$1 all file
  shift
  [[ -e "$folder/$name" ]] && return
  # Exim's program is to belong to root, who alone can run the three.
  ((EUID == 0)) || { echo "$name: to be unpacked by root, who alone can run it" >&2; return 1; }
  command -v apt-get >/dev/null || { echo "$name: there is no apt-get here" >&2; return 1; }
  all=$({ printf '%s\n' "$@"; needed "$@"; } | sort -u) || return
  mkdir -p "$parts/$name.debs" "$parts/$name" || return
  # shellcheck disable=SC2086 # the names are words
  (cd "$parts/$name.debs" && apt-get -qq -o APT::Sandbox::User=root download $all) || return
  for file in "$parts/$name.debs"/*.deb; do
    dpkg -x "$file" "$parts/$name" || return
  done
  if [[ -d "$parts/$name/lib" ]]; then # Debian has /lib in /usr, and older packages do not know it
    cp -a "$parts/$name/lib" "$parts/$name/usr/" && rm -r "$parts/$name/lib" || return
  fi
  mv "$parts/$name" "$folder/$name" && echo "$name: $(basename "$(ls "$parts/$name.debs/$1"_*.deb)" .deb | cut -d_ -f2 | sed s/%3a/:/)"
}

from_npm() {
  [[ -e "$folder/haraka" ]] && return
  command -v npm >/dev/null || { echo "haraka: there is no npm here: apt install nodejs npm (Node.js 20 or later)" >&2; return 1; }
  mkdir "$parts/haraka" || return
  # Its packages in C++ are optional: none of them is used here.
  npm install --prefix "$parts/haraka" --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error "Haraka@$haraka" >/dev/null || return
  mv "$parts/haraka" "$folder/haraka" && echo "haraka: $haraka"
}

unpacked opensmtpd opensmtpd || failed=1
unpacked exim exim4-daemon-light || failed=1
unpacked dovecot dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd || failed=1
from_npm || failed=1
exit $failed
