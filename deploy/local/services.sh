#!/usr/bin/env bash
# Installs and starts the real servers that Shardline's tests and a local cluster need: one of each, on loopback,
# from private folders, without a container engine. README.md beside this file tells how to use it.
#
# What it promises: a server is stopped only through the pid file that its start wrote; a setting that names a server
# which runs elsewhere makes every verb leave that component alone; each verb may be repeated at any time.
set -euo pipefail

LOCAL=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$LOCAL/../.." && pwd)
CACHE=$(realpath -m "${SHARDLINE_CACHE:-$HOME/.cache/shardline}")
RUN=$(realpath -m "${SHARDLINE_RUN:-$REPO/target/services}")
# The last two digits of a port are those its server usually has: 13306 is MySQL. A second set needs a base 100 away.
# When nobody chose a base, the one this folder was given at its first start: see `choose_base`.
# shellcheck disable=SC2034 # process.sh reads it
PORT_BASE=${SHARDLINE_PORT_BASE:-$(cat "$RUN/port-base" 2>/dev/null || echo 13300)}
NAMES=(mysql mysql_replica mariadb mariadb_replica kafka redis prometheus)

# Each component file defines, for its NAME:
#   NAME_setting     the variable that tells users of the server where it is, and us whether it runs elsewhere
#   NAME_port        the port it listens on
#   NAME_address     the value of that variable for the server started here
#   NAME_install     puts the program on this machine; quick when it is there
#   NAME_installed   is the program on this machine?
#   NAME_launch      prepares the data folder and starts the program through `launch`
#   NAME_ready       does it answer as its users will ask? At most a few seconds
#   NAME_patience    seconds that a start or a stop may take
# shellcheck source=deploy/local/process.sh
source "$LOCAL/process.sh"
# shellcheck source=deploy/local/packages.sh
source "$LOCAL/packages.sh"
for name in "${NAMES[@]}"; do
    # shellcheck source=/dev/null
    source "$LOCAL/$name.sh"
done

usage() {
    cat >&2 <<EOF
usage: services.sh VERB [NAME...]
  install NAME...   download and unpack what is missing
  start NAME...     install, then start and wait until it answers
  stop [NAME...]    stop what start started (default: all)
  status            what runs, and where
  env [NAME...]     print export lines for what runs (or for the names given)
names: ${NAMES[*]}
EOF
    exit 2
}

say() { echo "services: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

# Where the server of NAME runs that somebody else takes care of; false when it is ours to care for.
# The address of our own server may be in the environment too: `env` put it there.
elsewhere() {
    local setting given
    setting=$("${1}_setting")
    given=${!setting:-}
    [[ -n $given && $given != "$("${1}_address")" ]] || return 1
    echo "$given"
}

# The names that are left for us, without those that run elsewhere.
ours() {
    local name address
    for name; do
        if address=$(elsewhere "$name"); then
            say "$name: left alone, $("${name}_setting") says $address"
        else
            echo "$name"
        fi
    done
}

install_all() {
    local name began
    for name; do
        "${name}_installed" && continue
        # Two clones may install at once; the second finds the work done.
        (
            flock 8
            "${name}_installed" && exit 0
            began=$SECONDS
            say "$name: installing"
            "${name}_install"
            "${name}_installed" || fail "$name: the installation left no usable program"
            say "$name: installed after $((SECONDS - began)) s"
        ) 8>"$CACHE/lock"
    done
}

# When nobody chose a base and nothing of this folder runs: the first base at which the ports of all names are free,
# so that two clones can be tested side by side.
choose_base() {
    local name base taken
    [[ -z ${SHARDLINE_PORT_BASE:-} ]] || return 0
    for name in "${NAMES[@]}"; do
        ! runs "$name" || return 0
    done
    for base in 13300 15300 17300 19300 21300; do
        PORT_BASE=$base
        taken=no
        for name; do
            port_is_free "$("${name}_port")" || taken=yes
        done
        if [[ $taken == no ]]; then
            echo "$base" >"$RUN/port-base"
            return 0
        fi
    done
    PORT_BASE=13300
}

# All are launched before the first is waited for: a JVM and a database come up side by side.
start_all() {
    local name
    install_all "$@"
    choose_base "$@"
    for name; do
        if runs "$name"; then
            say "$name: runs already"
        else
            # Clears what a killed one left, and waits until it let go of its files and its port.
            stop_one "$name"
            port_is_free "$("${name}_port")" ||
                fail "$name: port $("${name}_port") is taken by a program not started from $RUN; stop it or set SHARDLINE_PORT_BASE"
            "${name}_launch"
        fi
    done
    for name; do
        await_ready "$name"
    done
}

status() {
    local name address state
    for name in "${NAMES[@]}"; do
        if address=$(elsewhere "$name"); then
            state=elsewhere
        else
            address=$("${name}_address")
            state=stopped
            if runs "$name"; then
                state="runs, pid $(recorded_pid "$name")"
            fi
        fi
        printf '%-15s %-17s %s\n' "$name" "$state" "$address"
    done
    echo "data and logs: $RUN"
}

print_env() {
    local name address wanted=("$@")
    [[ $# -gt 0 ]] || wanted=("${NAMES[@]}")
    for name in "${wanted[@]}"; do
        if ! address=$(elsewhere "$name"); then
            [[ $# -gt 0 ]] || runs "$name" || continue
            address=$("${name}_address")
        fi
        printf 'export %s=%q\n' "$("${name}_setting")" "$address"
    done
}

# Makes the private folders and keeps out a second start or stop on the same folder. Servers must not inherit the
# lock: `launch` closes it for them.
own_the_folder() {
    mkdir -p "$(dirname "$RUN")" "$(dirname "$CACHE")"
    umask 077
    mkdir -p "$RUN" "$CACHE"
    exec 9>"$RUN/lock"
    flock -w 600 9 || fail "another start or stop on $RUN has not ended for ten minutes"
}

main() {
    local verb=${1:-} name left
    [[ -n $verb ]] || usage
    shift
    for name; do
        [[ " ${NAMES[*]} " == *" $name "* ]] || fail "there is no component '$name', only: ${NAMES[*]}"
    done
    case $verb in
        install | start)
            [[ $# -gt 0 ]] || usage
            own_the_folder
            left=$(ours "$@")
            [[ -n $left ]] || return 0
            # Names have no spaces: they were compared with the list above.
            # shellcheck disable=SC2086
            "${verb}_all" $left
            ;;
        stop)
            own_the_folder
            [[ $# -gt 0 ]] || set -- "${NAMES[@]}"
            for name; do
                stop_one "$name"
            done
            ;;
        status) status ;;
        env) print_env "$@" ;;
        *) usage ;;
    esac
}

main "$@"
