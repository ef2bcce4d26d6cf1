# shellcheck shell=bash
# One server process per component: launch it, know it again by its pid file, wait for it, stop it.
#
# A pid file holds `PID TICKS`: the number, and when that process started (clock ticks since boot). A number alone
# would be given to another program sooner or later, and a stop would then hit a stranger.

folder_of() { echo "$RUN/$1"; }

port() { echo $((PORT_BASE + $1)); }

start_ticks() {
    local stat fields
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    # The program's name is in parentheses and may hold anything; the fields after it are plain.
    read -ra fields <<<"${stat##*) }"
    echo "${fields[19]}"
}

# What became of the process that our start recorded: "runs"; "ending", it does nothing any more but may still hold its
# files and its port; or "gone".
state_of() {
    local folder pid ticks stat fields threads works_in
    folder=$(folder_of "$1")
    read -r pid ticks 2>/dev/null <"$folder/pid" || { echo gone && return; }
    { stat=$(<"/proc/$pid/stat"); } 2>/dev/null || { echo gone && return; }
    read -ra fields <<<"${stat##*) }"
    threads=("/proc/$pid/task/"*)
    # Fields after the name: 0 is the state, 6 the flags with PF_EXITING as 4, 19 the start.
    if [[ ${fields[19]} != "$ticks" ]]; then
        echo gone
    elif [[ ${fields[0]} == [ZX] && ${#threads[@]} -le 1 ]]; then
        # Only its exit code is left, which nobody has fetched.
        echo gone
    elif ((fields[6] & 4)) || [[ ${fields[0]} == [ZX] ]]; then
        echo ending
    elif ! works_in=$(readlink "/proc/$pid/cwd"); then
        # It began to end since the first look.
        echo ending
    elif [[ $works_in == "$folder"* ]]; then
        echo runs
    else
        # The same number and start, but not in our folder: after a reboot, a stranger.
        echo gone
    fi
}

runs() { [[ $(state_of "$1") == runs ]]; }

gone() { [[ $(state_of "$1") == gone ]]; }

recorded_pid() {
    local pid
    read -r pid _ <"$(folder_of "$1")/pid"
    echo "$pid"
}

# launch NAME PROGRAM ARGUMENTS...: runs the program in the component's folder, detached from this terminal, its
# output in the file `log` (the one of the start before is `log.1`).
# With INTERPOSE the program loads that library first, and what it is to lie about is in its folder: tools/interpose.
# The child records itself before it becomes the program, so there is no moment at which a server runs unrecorded.
launch() {
    local name=$1 folder self lies=()
    shift
    folder=$(folder_of "$name")
    mkdir -p "$folder"
    [[ ! -f $folder/log ]] || mv "$folder/log" "$folder/log.1"
    rm -f "$folder/pid"
    if [[ -n ${INTERPOSE:-} ]]; then
        head -c 24 /dev/zero >"$folder/interpose"
        lies=(env LD_PRELOAD="$INTERPOSE" SHARDLINE_INTERPOSE="$folder/interpose")
    fi
    (
        exec 9>&-
        cd "$folder" || exit
        # Read once: inside $( ) it would be the number of one more process.
        self=$BASHPID
        echo "$self $(start_ticks "$self")" >pid.new
        mv pid.new pid
        exec setsid "${lies[@]}" "$@"
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
    local name=$1 pid patience
    if runs "$name"; then
        pid=$(recorded_pid "$name")
        patience=$("${name}_patience")
        say "$name: stopping pid $pid"
        kill -TERM "$pid" 2>/dev/null || true
        if ! await_gone "$name" "$patience"; then
            say "$name: still there after $patience s, killing pid $pid"
            ! runs "$name" || kill -KILL "$pid" 2>/dev/null || true
        fi
    fi
    await_gone "$name" 30 || fail "$name: pid $(recorded_pid "$name") hangs in the kernel"
    rm -f "$(folder_of "$name")/pid"
}

# await_gone NAME SECONDS
await_gone() {
    local began=$SECONDS
    until gone "$1"; do
        ((SECONDS - began <= $2)) || return 1
        sleep 0.05
    done
}
