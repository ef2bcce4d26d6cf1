# shellcheck shell=bash
# Where programs come from: Debian's packages, and Maven Central for what Debian does not have.

has_all() {
    local command
    for command; do
        command -v "$command" >/dev/null || return 1
    done
}

# A Debian package that brings a server would start it, now and at each boot, with its own data and on its usual port.
# While we install, a policy-rc.d refuses that; afterwards the units that arrived are disabled.
POLICY=/usr/sbin/policy-rc.d
POLICY_ASIDE=/usr/sbin/policy-rc.d.before-shardline

policy_restore() {
    if [[ -e $POLICY_ASIDE || -L $POLICY_ASIDE ]]; then
        mv -f "$POLICY_ASIDE" "$POLICY"
    elif grep -qs 'written by shardline' "$POLICY"; then
        rm -f "$POLICY"
    fi
}

policy_refuse_starts() {
    # What a killed installation left behind.
    policy_restore
    [[ ! -e $POLICY && ! -L $POLICY ]] || mv "$POLICY" "$POLICY_ASIDE"
    printf '#!/bin/sh\n# written by shardline while it installs packages\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
}

apt_quietly() {
    # Another installation may hold the lock: wait for it. Umask: packages expect the usual one, ours is private.
    (umask 022 && DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@") >>"$CACHE/apt.log" 2>&1
}

# apt_install PACKAGE...: old package lists are refreshed only when the installation does not work with them.
apt_install() {
    if [[ $(id -u) -ne 0 ]] || ! has_all apt-get; then
        fail "please install first: $* (Debian: apt-get install --no-install-recommends $*)"
    fi
    (
        exec 7>/run/lock/shardline-apt
        flock 7
        trap policy_restore EXIT
        policy_refuse_starts
        apt_quietly install --no-install-recommends "$@" ||
            { apt_quietly update && apt_quietly install --no-install-recommends "$@"; } ||
            { tail -n 20 "$CACHE/apt.log" >&2 && fail "apt-get install $* failed, see $CACHE/apt.log"; }
    )
}

# Keeps a server that a package brought from starting at the next boot.
disable_unit() {
    if has_all systemctl; then
        systemctl disable "$1" >>"$CACHE/apt.log" 2>&1 || true
    fi
}

java_install() {
    has_all mvn || apt_install maven
    # The compiler too: one small class of ours asks Kafka whether it is ready.
    has_all java javac || apt_install default-jdk-headless
}

maven() {
    local log=$CACHE/maven.log
    mvn -B -ntp "$@" >"$log" 2>&1 || { tail -n 20 "$log" >&2 && fail "mvn $1 failed, see $log"; }
}
