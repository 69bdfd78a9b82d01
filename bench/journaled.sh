#!/bin/sh
# journaled.sh up|down FOLDER [MIB]: a journaled ext4 at FOLDER, in the image FOLDER.img, as most servers have it.
# For machines whose own disk is an ext4 without a journal, where a sync costs less. Needs root; then
#   python bench/accept.py --folder FOLDER
set -eu
folder=${2:-}
image=$folder.img
case ${folder:+$1} in
up)
    mkdir -p "$folder"
    # Written whole, so that no write has to find room in the file system below first.
    dd if=/dev/zero of="$image" bs=1M count="${3:-4096}" conv=fsync status=none
    mkfs.ext4 -q -F -m 0 -E lazy_itable_init=0,lazy_journal_init=0 "$image"
    device=$(losetup --direct-io=on --show -f "$image")
    mount -o noatime "$device" "$folder"
    ;;
down)
    device=$(findmnt -no SOURCE "$folder")
    umount "$folder"
    losetup -d "$device"
    rm "$image"
    rmdir "$folder"
    ;;
*)
    echo "usage: journaled.sh up|down FOLDER [MIB]" >&2
    exit 2
    ;;
esac
