# Sourced by the scripts: installs a Debian package if a command that needs it fails.
#
#   need PACKAGE COMMAND…
need() {
    local package=$1 sudo=""
    shift
    "$@" >/dev/null 2>&1 && return
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update --quiet
    $sudo apt-get install --yes --quiet "$package"
}
