# Waits until standard input closes, then ends the lab in folder $1 and removes it.
# The test process holds the other end, so that this also happens when it is killed.
trap '' HUP INT TERM
folder=$1
cat >/dev/null

# The processes of this lab: those whose arguments or environment name a path in its folder, which
# also finds a server that was just being started. The pattern is read from standard input, or grep
# would find itself.
ours() {
    # shellcheck disable=SC2062 # these are files, the pattern comes before them
    printf '%s/' "$folder" |
        grep -lsaFf - /proc/[0-9]*/cmdline /proc/[0-9]*/environ | cut -d / -f 3 | sort -u
}

tries=0
while processes=$(ours) && [ -n "$processes" ] && [ "$tries" -lt 250 ]; do
    for process in $processes; do
        # A master leads a group. There is nothing left that anything of it should save.
        kill -s KILL -- "-$process" "$process" 2>/dev/null
    done
    tries=$((tries + 1))
    sleep 0.02
done

# What was just dying may still have written a file.
tries=0
while ! rm -rf "$folder" && [ "$tries" -lt 250 ]; do
    tries=$((tries + 1))
    sleep 0.02
done
