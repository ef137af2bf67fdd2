#cloud-boothook
#!/bin/sh
# Windlass: runs at every boot, before cloud-init's modules. It fetches its own
# part of the seed, so that nothing secret is kept on the guest's disk.
umask 077
mkdir -p /run/windlass/seed
chmod 0755 /run/windlass
device=$(blkid -L CIDATA || blkid -L cidata) || exit 0
mount -o ro "$device" /run/windlass/seed || exit 0
cp -R /run/windlass/seed/windlass/. /run/windlass/
umount /run/windlass/seed
exec /bin/sh /run/windlass/guest.sh early
