# Waits until standard input closes, then ends the lab in folder $1 and removes it.
# The test process holds the other end, so that this also happens when it is killed.
trap '' HUP INT TERM
folder=$1
cat >/dev/null

# Whether process $1 is one of this lab's, and not another that got the same number.
is_ours() {
    grep -qaF "$folder/" "/proc/$1/cmdline" "/proc/$1/environ" 2>/dev/null
}

# Ends the master whose number is in file $1, and with it the processes it started.
end() {
    [ -r "$1" ] || return 0
    pid=$(tr -cd 0-9 <"$1")
    [ -n "$pid" ] && is_ours "$pid" || return 0
    kill -TERM "$pid"
    tries=0
    while is_ours "$pid" && [ "$tries" -lt 250 ]; do
        tries=$((tries + 1))
        sleep 0.02
    done
    if is_ours "$pid"; then kill -KILL "-$pid" "$pid"; fi
}

end "$folder/postfix/queue/pid/master.pid"
end "$folder/dovecot/run/master.pid"
tries=0
while ! rm -rf "$folder" 2>/dev/null && [ "$tries" -lt 250 ]; do
    tries=$((tries + 1))
    sleep 0.02
done
