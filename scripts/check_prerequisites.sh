#!/bin/sh
# Says what the machine lacks for building and testing, one sentence for each thing, all at once.
#
#   check_prerequisites.sh PYTHON [server] [lint]
#
# PYTHON is the interpreter that the environment is made from. `server` also looks for what the mongod of the
# `local` extra needs, `lint` for Rust's formatter and linter.
set -u

python=$1
shift
missing=0

# The oldest versions that do: Cargo.toml's rust-version and pyproject.toml's requires-python.
rust_minor=88
python_minor=10

lack() {
    echo "✗ $1" >&2
    missing=1
}

found() {
    command -v "$1" >/dev/null 2>&1
}

check_rust() {
    if ! found cargo || ! found rustc; then
        lack "Rust is missing: install Rust 1.$rust_minor or newer with rustup (Debian 12's own package is too old)."
        return
    fi
    if ! version=$(rustc --version 2>/dev/null); then
        lack "Rust is installed but has no toolchain: run \`rustup default stable\`."
        return
    fi
    number=${version#rustc }
    major=${number%%.*}
    rest=${number#*.}
    minor=${rest%%.*}
    if [ "$major" -eq 1 ] && [ "$minor" -lt "$rust_minor" ]; then
        lack "Rust ${number%% *} is too old: 1.$rust_minor or newer is needed, \`rustup update stable\` brings it."
    fi
}

check_compiler() {
    # Compiled and linked, because a compiler can be there without the C library's headers.
    if ! echo '#include <stdlib.h>
        int main(void) { return EXIT_SUCCESS; }' | "${CC:-cc}" -x c - -o /dev/null 2>/dev/null; then
        lack "A working C compiler is missing: \`apt-get install gcc libc6-dev\` (macOS: \`xcode-select --install\`)."
    fi
}

check_python() {
    if ! found "$python"; then
        lack "Python is missing: \`apt-get install python3 python3-venv\`, or name a Python 3.$python_minor or newer with \`make PYTHON=…\`."
        return 1
    fi
    if ! "$python" -c "import sys; sys.exit(sys.version_info < (3, $python_minor))" 2>/dev/null; then
        lack "$("$python" --version 2>&1) is too old: name a Python 3.$python_minor or newer with \`make PYTHON=…\`."
        return 1
    fi
    # Debian splits ensurepip off: without it `python -m venv` starts and then fails.
    if ! "$python" -c "import venv, ensurepip" 2>/dev/null; then
        lack "Python's venv module is missing: \`apt-get install python3-venv\`."
        return 1
    fi
}

check_server() {
    [ -n "${EDULEARN_MONGOD:-}" ] && return
    found mongod && return
    if [ "$(uname -s)-$(uname -m)" != "Linux-x86_64" ]; then
        lack "No mongod was found, and there is no wheel of it for this platform: put one on the PATH or name it in EDULEARN_MONGOD."
    elif ! "$python" -c "import ctypes; ctypes.CDLL('libcurl.so.4')" 2>/dev/null; then
        lack "The library libcurl.so.4 is missing, which mongod needs: \`apt-get install libcurl4\`."
    fi
}

check_lint() {
    found cargo || return
    if ! cargo fmt --version >/dev/null 2>&1; then
        lack "Rust's formatter is missing: \`rustup component add rustfmt\`."
    fi
    if ! cargo clippy --version >/dev/null 2>&1; then
        lack "Rust's linter is missing: \`rustup component add clippy\`."
    fi
}

check_rust
check_compiler
if check_python; then
    for what in "$@"; do
        [ "$what" = server ] && check_server
    done
fi
for what in "$@"; do
    [ "$what" = lint ] && check_lint
done
exit "$missing"
