#!/bin/sh
# Prints the path of a Chromium for the tests and pictures of the coverage page: `browser.sh`.
#
# LOGFERRY_BROWSER=/path/to/chrome chooses it; otherwise the first that the system has. Where there is none, it is
# installed for root on Debian and Ubuntu; everybody else is told in one sentence what to install (exit code 1).
set -eu

fail() { printf 'logferry: %s\n' "$1" >&2; exit 1; }
say() { printf 'logferry: %s\n' "$1" >&2; }

find_browser() {
    for candidate in chromium chromium-browser google-chrome google-chrome-stable chrome \
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" \
        /Applications/Chromium.app/Contents/MacOS/Chromium; do
        command -v "$candidate" && return
    done
    return 1
}

if [ -n "${LOGFERRY_BROWSER:-}" ]; then
    command -v "$LOGFERRY_BROWSER" ||
        fail "LOGFERRY_BROWSER=$LOGFERRY_BROWSER is not a program: name a Chromium or Chrome, or leave LOGFERRY_BROWSER out."
    exit
fi

find_browser && exit

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "Installing Chromium for the tests of the coverage page (about 400 MB, once) ..."
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >&2 ||
        fail "Chromium could not be installed: run apt-get install chromium, read what it says, and run make again."
    find_browser || fail "apt-get installed chromium, but there is none on the PATH: name it with LOGFERRY_BROWSER=/path/to/it."
    exit
fi
fail "The coverage page is tested in a real browser and there is none: install Chromium or Chrome (on Debian and Ubuntu: apt-get install chromium), or name one with LOGFERRY_BROWSER=/path/to/it."
