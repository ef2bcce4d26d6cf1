# shellcheck shell=bash
# One server process per component: launch it, know it again by its pid file, wait for it, stop it.
#
# A pid file holds `PID TICKS`: the number, and when that process started (clock ticks since boot). A number alone
# would be given to another program sooner or later, and a stop would then hit a stranger.

folder_of() { echo "$RUN/$1"; }

port() { echo $((PORT_BASE + $1)); }

# When the process started; false if there is none, or only the remains that nobody has reaped.
start_ticks() {
    local stat fields
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    # The program's name is in parentheses and may hold anything; the fields after it are plain. The first is the
    # state, the twentieth the start.
    read -ra fields <<<"${stat##*) }"
    [[ ${fields[0]} != [ZX] ]] || return 1
    echo "${fields[19]}"
}

recorded_pid() {
    local pid ticks
    read -r pid ticks 2>/dev/null <"$(folder_of "$1")/pid" || return 1
    [[ -n $ticks ]] || return 1
    echo "$pid"
}

# Does the process that our start recorded still run, and does it still work in our folder?
runs() {
    local folder pid ticks
    folder=$(folder_of "$1")
    [[ -f $folder/pid ]] || return 1
    read -r pid ticks <"$folder/pid" || return 1
    [[ -n $ticks && $(start_ticks "$pid") == "$ticks" ]] || return 1
    [[ $(readlink "/proc/$pid/cwd") == "$folder"* ]]
}

# launch NAME PROGRAM ARGUMENTS...: runs the program in the component's folder, detached from this terminal, its
# output in the file `log` (the one of the start before is `log.1`).
# The child records itself before it becomes the program, so there is no moment at which a server runs unrecorded.
launch() {
    local name=$1 folder self
    shift
    folder=$(folder_of "$name")
    mkdir -p "$folder"
    [[ ! -f $folder/log ]] || mv "$folder/log" "$folder/log.1"
    rm -f "$folder/pid"
    (
        exec 9>&-
        cd "$folder" || exit
        # Read once: inside $( ) it would be the number of one more process.
        self=$BASHPID
        echo "$self $(start_ticks "$self")" >pid.new
        mv pid.new pid
        exec setsid "$@"
    ) </dev/null >"$folder/log" 2>&1 &
    say "$name: starting"
}

port_is_free() {
    ! timeout 2 bash -c "exec 3<>/dev/tcp/127.0.0.1/$1" 2>/dev/null
}

show_log() {
    say "$1: the end of $(folder_of "$1")/log:"
    tail -n 30 "$(folder_of "$1")/log" >&2 || true
}

# Returns when the server answers; otherwise shows its log, stops it and fails.
await_ready() {
    local name=$1 patience began=$SECONDS
    patience=$("${name}_patience")
    until "${name}_ready" >/dev/null 2>&1; do
        # The record is written by the child, a moment after the launch.
        if [[ -f $(folder_of "$name")/pid || $((SECONDS - began)) -gt 5 ]] && ! runs "$name"; then
            show_log "$name"
            fail "$name: ended instead of starting"
        fi
        if ((SECONDS - began > patience)); then
            show_log "$name"
            stop_one "$name"
            fail "$name: no answer within $patience s"
        fi
        sleep 0.1
    done
    say "$name: ready at $("${name}_address") after $SECONDS s"
}

# Asks the process to end, and ends it when it does not. The stores promise to survive that: they are durable.
stop_one() {
    local name=$1 pid patience began=$SECONDS
    if ! runs "$name"; then
        rm -f "$(folder_of "$name")/pid"
        return 0
    fi
    pid=$(recorded_pid "$name")
    patience=$("${name}_patience")
    say "$name: stopping pid $pid"
    kill -TERM "$pid" 2>/dev/null || true
    while runs "$name"; do
        if ((SECONDS - began > patience)); then
            say "$name: still runs after $patience s, killing pid $pid"
            kill -KILL "$pid" 2>/dev/null || true
            # A killed process is gone at once, unless it hangs in the kernel: then waiting longer helps nobody.
            sleep 2
            ! runs "$name" || fail "$name: pid $pid cannot be killed"
        fi
        sleep 0.1
    done
    rm -f "$(folder_of "$name")/pid"
}
