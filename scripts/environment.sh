#!/bin/sh
# Brings .venv up to date: `environment.sh` for running Logferry, `environment.sh dev` for its tests and linters too.
# `environment.sh bench` also makes .venv-bench, where the programs Logferry is measured against live by themselves.
#
# .venv/.installed remembers what was installed (a checksum of the lock, this folder, Python's version). While it
# still describes the files, nothing happens; when the lock changed, .venv is made anew; when only pyproject.toml
# changed, the project alone is installed again. Every failure is one sentence and exit code 1.
#
# PYTHON=/path/to/python chooses the interpreter; otherwise the newest supported one on the PATH is taken.
set -eu
cd "$(dirname "$0")/.."

NEEDED_MB=2000
venv=.venv
python=$venv/bin/python
log=$venv/install.log

fail() { printf 'logferry: %s\n' "$1" >&2; exit 1; }
say() { printf 'logferry: %s\n' "$1" >&2; }
checksum() { cat "$@" | cksum | tr -d ' '; }

is_supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1; }
has_module() { "$1" -c "import $2" >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_supported "$PYTHON" || fail "PYTHON=$PYTHON is not a working Python 3.11, 3.12 or 3.13; name another or leave PYTHON out."
        echo "$PYTHON"
        return
    fi
    for candidate in python3.13 python3.12 python3.11 python3; do
        if is_supported "$candidate" && has_module "$candidate" venv &&
            { has_module "$candidate" ensurepip || has_module "$candidate" pip; }; then
            echo "$candidate"
            return
        fi
    done
    for candidate in python3.13 python3.12 python3.11 python3; do
        if is_supported "$candidate"; then
            fail "$candidate cannot make virtual environments: install its venv module (on Debian and Ubuntu: apt-get install python3-venv), then run make again."
        fi
    done
    fail "No Python 3.11, 3.12 or 3.13 found on the PATH: install one, or name it with make run PYTHON=/path/to/python3."
}

require_disk() {
    free_mb=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free_mb" -ge "$NEEDED_MB" ] ||
        fail "Only $free_mb MB are free in $(pwd); the environment needs about $NEEDED_MB MB: free some space and run make again."
}

explain() { # the one sentence for a failed installation, from the installer's own words
    if grep -qiE 'no space left|disk quota' "$log"; then
        fail "The disk is full: free about $NEEDED_MB MB and run make again (details: $log)."
    elif grep -qiE 'hash(es)? (mismatch|are required)|do not match the hashes' "$log"; then
        fail "A downloaded package does not match its checksum in $1: the package index or a proxy altered it (details: $log)."
    elif grep -qiE 'connect|resolve host|name resolution|timed out|timeout|proxy|ssl|certificate|network|no matching distribution|not found in the package registry' "$log"; then
        fail "The Python package index cannot be reached: check the network or the index in pip's configuration, then run make again (details: $log)."
    fi
    fail "Installing $1 failed; the reason is at the end of $log."
}

pip_install() { # with the environment's own pip, made when first needed
    has_module "$python" pip || "$python" -m ensurepip >>"$log" 2>&1 ||
        fail "$python has no pip and cannot make one: install the venv module (on Debian and Ubuntu: apt-get install python3-venv), then run make again."
    "$python" -m pip install --quiet --disable-pip-version-check --no-compile "$@" >>"$log" 2>&1
}

install() {
    if [ -x .venv/bin/uv ]; then
        .venv/bin/uv pip install --quiet --python "$python" "$@" >>"$log" 2>&1 && return
    fi
    pip_install "$@"
}

install_uv() { # a fast installer, pinned like the rest; where it cannot be had, pip does everything
    if has_module "$chosen" pip; then
        "$chosen" -m pip --python "$python" install --quiet --disable-pip-version-check --no-compile \
            --require-hashes -r requirements-uv.txt >>"$log" 2>&1 && return
    fi
    pip_install --require-hashes -r requirements-uv.txt || true
}

install_project() {
    install --no-deps --no-build-isolation -e . || explain pyproject.toml
}

case ${1:-} in '' | dev | bench) ;; *) fail "Unknown argument $1: call scripts/environment.sh alone, with dev or with bench." ;; esac

lock="$(checksum requirements.txt requirements-uv.txt) $(pwd)"
project="$(checksum pyproject.toml)"
dev="$(checksum requirements-dev.txt)"

remembered() { cat "$venv/$1" 2>/dev/null || true; }

usable() {
    [ "$(remembered .installed)" = "$lock" ] && "$python" -c '' >/dev/null 2>&1 || return 1
    [ -z "${PYTHON:-}" ] || {
        find_python >/dev/null || exit 1
        version='import sys; print(sys.version_info[:3])'
        [ "$("$python" -c "$version")" = "$("$PYTHON" -c "$version")" ]
    }
}

if ! usable; then
    chosen=$(find_python)
    require_disk
    rm -rf "$venv"
    say "Making .venv with $("$chosen" -V) and the packages of requirements.txt (about 600 MB, once) ..."
    "$chosen" -m venv --without-pip "$venv" ||
        fail "$chosen cannot make virtual environments: install its venv module (on Debian and Ubuntu: apt-get install python3-venv), then run make again."
    install_uv
    install --require-hashes -r requirements.txt || explain requirements.txt
    install_project
    printf '%s\n' "$project" >"$venv/.installed-project"
    printf '%s\n' "$lock" >"$venv/.installed"
elif [ "$(remembered .installed-project)" != "$project" ]; then
    install_project
    printf '%s\n' "$project" >"$venv/.installed-project"
fi

if [ "${1:-}" = dev ] && [ "$(remembered .installed-dev)" != "$dev" ]; then
    say "Adding the packages of requirements-dev.txt ..."
    install --require-hashes -r requirements-dev.txt || explain requirements-dev.txt
    printf '%s\n' "$dev" >"$venv/.installed-dev"
fi

if [ "${1:-}" = bench ]; then
    version='import sys; print(sys.version_info[:3])'
    bench="$(checksum requirements-bench.txt) $(pwd) $("$python" -c "$version")"
    chosen=$(pwd)/$python
    venv=.venv-bench
    python=$venv/bin/python
    log=$venv/install.log
    if [ "$(remembered .installed)" != "$bench" ] || ! "$python" -c '' >/dev/null 2>&1; then
        require_disk
        rm -rf "$venv"
        say "Making .venv-bench with the packages of requirements-bench.txt (about 500 MB, once) ..."
        "$chosen" -m venv --without-pip "$venv" || fail "$chosen cannot make a second virtual environment: remove .venv and run make again."
        install --require-hashes -r requirements-bench.txt || explain requirements-bench.txt
        printf '%s\n' "$bench" >"$venv/.installed"
    fi
fi
