# Starts the systemd of the Debian in folder $1, with processes, mounts and control groups of its own, in the network of
# the caller. Says its process number, and ends it when standard input closes: also when the caller is killed.
#
# It is root without a user namespace: what belongs to the whole machine (settings of the kernel, its clock, its modules,
# its audit) is kept from it by mounts that cannot be written and by capabilities that it does not get.
set -euo pipefail
trap '' HUP INT TERM
root=$1

# The control groups of the machine are below one of their own, so that nothing is left of them.
mount --bind "$root" "$root"
mount -t cgroup2 cgroup2 "$root/mnt"
group=$root/mnt$(sed -n 's/^0:://p' /proc/self/cgroup)/mailtrip-newcomer.$$
mkdir "$group"

# shellcheck disable=SC2016 # the inner shell expands it
inside='
    set -euo pipefail
    cd "$1"
    mount --make-rprivate /
    mount -t proc proc proc
    for of_the_kernel in sys sysrq-trigger irq bus; do
        [[ -e proc/$of_the_kernel ]] || continue
        mount --bind "proc/$of_the_kernel" "proc/$of_the_kernel"
        mount -o remount,bind,ro "proc/$of_the_kernel"
    done
    mount -t sysfs -o ro sysfs sys
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs tmpfs run
    mount -t tmpfs tmpfs dev
    for device in null zero full random urandom tty; do
        touch "dev/$device"
        mount --bind "/dev/$device" "dev/$device"
    done
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    mount -t tmpfs tmpfs dev/shm
    # After a mere chroot nobody gets a user namespace, which PrivateUsers= needs.
    pivot_root . mnt
    umount -l /mnt
    # systemd mounts the credentials of a service in a namespace of its own, from where they have to get here.
    mount --make-rshared /
    lost=-sys_time,-wake_alarm,-sys_module,-sys_rawio,-syslog,-audit_control,-audit_read,-mac_admin,-mac_override
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=other \
        setpriv --bounding-set="$lost" --inh-caps="$lost" /lib/systemd/systemd
'
(
    echo "$BASHPID" >"$group/cgroup.procs"
    exec unshare --mount --pid --ipc --uts --cgroup --fork --kill-child bash -c "$inside" machine "$root"
) </dev/null >"$root.log" 2>&1 &
keeper=$!
until leader=$(pgrep -P "$keeper"); do
    kill -0 "$keeper" || { cat "$root.log" >&2; exit 1; }
    sleep 0.05
done
echo "$leader"
cat >/dev/null

kill -KILL "$leader" 2>/dev/null || true
wait "$keeper" || true
for _ in {1..100}; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
    sleep 0.05
done
