#!/bin/sh
# What Windlass does inside a guest. `early`: before cloud-init's modules, at
# every boot; makes what the stack file asks for. `ready`: after cloud-init has
# finished; says so on a virtio-serial port. What goes wrong is said there too.
set -u
here=/run/windlass
port=/dev/virtio-ports/windlass.ready
renetwork=

complain() {
    echo "$*" >>"$here/errors"
    echo "windlass: $*" >&2
}

# address MAC ADDRESS/PREFIX GATEWAY default|link MTU DOMAIN
# cloud-init applies a network-config once per instance-id. Where an address has
# changed since, it is corrected here: `early` comes before any network service,
# so networkd is told what to find; `ready` mends what another one has set.
address() {
    for device in /sys/class/net/*; do
        [ "$(cat "$device/address" 2>/dev/null)" = "$1" ] || continue
        link=${device##*/}
        if ip -4 -o address show dev "$link" | grep -qF " $2 "; then return; fi
        tell_networkd "$@"
        if systemctl is-active --quiet systemd-networkd 2>/dev/null; then
            renetwork=yes
        else
            ip address flush dev "$link"
            ip address add "$2" broadcast + dev "$link"
            ip link set "$link" mtu "$5" up
            [ "$4" = link ] || ip route replace default via "$3"
        fi
        return
    done
    complain "no network interface has the address $1"
}

tell_networkd() {
    mkdir -p /run/systemd/network
    {
        printf '[Match]\nMACAddress=%s\n[Link]\nMTUBytes=%s\n' "$1" "$5"
        printf '[Network]\nIPv6AcceptRA=no\nAddress=%s\nDNS=%s\nDomains=%s\n' "$2" "$3" "$6"
        [ "$4" = link ] || printf 'Gateway=%s\n' "$3"
    } >"/run/systemd/network/00-windlass-$link.network"
    chmod 0644 "/run/systemd/network/00-windlass-$link.network"
    chmod 0755 /run/systemd/network
}

# names SERVER DOMAIN: where nothing else keeps resolv.conf.
names() {
    if [ -n "$renetwork" ]; then systemctl restart systemd-networkd; fi
    [ -e /run/systemd/resolve/resolv.conf ] && return
    grep -qsF "nameserver $1" /etc/resolv.conf && return
    printf 'nameserver %s\nsearch %s\n' "$1" "$2" >/etc/resolv.conf
    chmod 0644 /etc/resolv.conf
}

# disk SERIAL TARGET ro|rw: formatted when blank; an empty one receives what the
# image has at TARGET.
disk() {
    device=/dev/disk/by-id/virtio-$1
    [ -e "$device" ] || udevadm settle --exit-if-exists="$device"
    if ! [ -e "$device" ]; then
        complain "the disk for $2 is not there"
        return
    fi
    if ! blkid -p "$device" >/dev/null 2>&1; then
        if [ "$3" = ro ]; then
            complain "the disk for $2 is blank and read-only"
            return
        fi
        if ! mkfs.ext4 -q -m 0 "$device" >"$here/mkfs" 2>&1; then
            complain "cannot format the disk for $2: $(cat "$here/mkfs")"
            return
        fi
    fi
    mkdir -p "$2"
    mountpoint -q "$2" && return
    if [ "$3" = rw ]; then
        fsck -p "$device" >/dev/null 2>&1
        resize2fs "$device" >/dev/null 2>&1
        fill "$2" "$device"
    fi
    mount -o "$3" "$device" "$2" || complain "cannot mount the disk for $2"
}

# fill TARGET MOUNT-ARGUMENTS: an empty volume receives what the image has at
# TARGET. One that was cut short is filled again.
fill() {
    target=$1
    shift
    mkdir -p "$here/fill"
    mount "$@" "$here/fill" || return
    if [ -e "$here/fill/.windlass-filling" ] || [ -z "$(ls -A "$here/fill" | grep -vx lost+found)" ]; then
        if [ -n "$(ls -A "$target")" ]; then
            : >"$here/fill/.windlass-filling"
            sync -f "$here/fill"
            cp -a "$target/." "$here/fill/" || complain "cannot fill the volume for $target"
        fi
        chown --reference="$target" "$here/fill"
        chmod --reference="$target" "$here/fill"
        sync -f "$here/fill"
        rm -f "$here/fill/.windlass-filling"
    fi
    umount "$here/fill"
}

# share TAG TARGET ro|rw FILE [fill]: FILE is empty for a directory; an empty
# volume receives what the image has at TARGET.
share() {
    if [ -z "$4" ]; then
        mkdir -p "$2"
        mountpoint -q "$2" && return
        [ "${5-}" != fill ] || fill "$2" -t virtiofs "$1"
        mount -t virtiofs -o "$3" "$1" "$2" || complain "cannot mount $2"
        return
    fi
    mkdir -p "$here/share/$1" "$(dirname "$2")"
    mountpoint -q "$here/share/$1" || mount -t virtiofs -o "$3" "$1" "$here/share/$1" ||
        complain "cannot mount $2"
    [ -e "$2" ] || : >"$2"
    mountpoint -q "$2" && return
    mount --bind "$here/share/$1/$4" "$2" || complain "cannot mount $2"
}

# memory TARGET OPTIONS
memory() {
    mkdir -p "$1"
    mountpoint -q "$1" && return
    mount -t tmpfs -o "$2" tmpfs "$1" || complain "cannot mount $1"
}

# file NUMBER TARGET MODE UID GID
file() {
    directory=$(dirname "$2")
    [ -d "$directory" ] || mkdir -p "$directory"
    install -m "$3" -o "$4" -g "$5" "$here/files/$1" "$2" || complain "cannot write $2"
}

hosts() {
    [ -s "$here/hosts" ] || grep -qs '^# windlass begin' /etc/hosts || return
    {
        [ -e /etc/hosts ] && sed '/^# windlass begin/,/^# windlass end/d' /etc/hosts
        echo '# windlass begin'
        cat "$here/hosts"
        echo '# windlass end'
    } >"$here/hosts.new"
    cmp -s "$here/hosts.new" /etc/hosts || cat "$here/hosts.new" >/etc/hosts
}

# The drop-in holds for connections from this host alone; see /etc/ssh/sshd_config.d.
ssh_access() {
    chmod 0644 "$here/authorized_keys"
    [ -d /etc/ssh ] || return
    drop_in=/etc/ssh/sshd_config.d/00-windlass.conf
    changed=
    if ! cmp -s "$here/sshd.conf" "$drop_in"; then
        mkdir -p /etc/ssh/sshd_config.d
        cp "$here/sshd.conf" "$drop_in"
        chmod 0644 "$drop_in"
        changed=yes
    fi
    if ! grep -qsE '^[[:space:]]*Include[[:space:]]+/etc/ssh/sshd_config\.d/\*\.conf' /etc/ssh/sshd_config; then
        sed -i '1i Include /etc/ssh/sshd_config.d/*.conf' /etc/ssh/sshd_config
        changed=yes
    fi
    [ -n "$changed" ] || return 0
    for unit in ssh.service sshd.service; do
        if systemctl is-active --quiet "$unit" 2>/dev/null; then
            systemctl reload "$unit"
            return 0
        fi
    done
}

early() {
    rm -f "$here/errors"
    chmod -R go= "$here/files" "$here/environment" 2>/dev/null
    . "$here/instance"
    hosts
    ssh_access
    if command -v systemctl >/dev/null; then
        mkdir -p /run/systemd/system
        cat >/run/systemd/system/windlass-ready.service <<UNIT
[Unit]
Description=Tell Windlass that cloud-init has finished
After=cloud-final.service

[Service]
Type=oneshot
ExecStart=/bin/sh $here/guest.sh ready
UNIT
        systemctl start --no-block windlass-ready.service
    else
        setsid sh -c "cloud-init status --wait; exec sh $here/guest.sh ready" \
            >/dev/null 2>&1 </dev/null &
    fi
}

hex() {
    od -An -v -tx1 | tr -d ' \n'
}

ready() {
    nonce=$(sed -n 's/^nonce=//p' "$here/instance")
    grep -E '^(address|names) ' "$here/instance" >"$here/network" && . "$here/network"
    hosts
    ssh_access
    result=$(tr -d '\n' </run/cloud-init/result.json 2>/dev/null)
    version=$(sed -n 's/.*Cloud-init v\. \([^ ]*\) .*/\1/p' /var/log/cloud-init-output.log | tail -n 1)
    keys=
    for file in /etc/ssh/ssh_host_*_key.pub; do
        [ -e "$file" ] || continue
        read -r type key rest <"$file"
        keys="$keys${keys:+,}\"$type $key\""
    done
    printf '{"version":1,"nonce":"%s","cloud_init":"%s","host_keys":[%s],"result":%s,"complaints":"%s","log":"%s"}\n' \
        "$nonce" "$version" "$keys" "${result:-null}" \
        "$(cat "$here/errors" 2>/dev/null | hex)" \
        "$(tail -n 400 /var/log/cloud-init-output.log 2>/dev/null | tail -c 30000 | hex)" \
        >"$port"
}

umask 022
"$1"
