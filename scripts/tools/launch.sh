# To be sourced by scripts. It says where the checkout is, and launches programs of it.
IOPS_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export IOPS_ROOT

# launch PROGRAM MODULE PACKAGE [ARGUMENT ...] builds a package of a module (a folder; "." is the root) into .local/bin, for
# this machine, whatever the user's shell builds for, and becomes it. Not by go run, which would hide the exit code.
launch() {
  local script=${0##*/} bin=$IOPS_ROOT/.local/bin program=$1 module=$2 package=$3
  shift 3
  if ! command -v go >/dev/null; then
    echo "$script: Go is not on PATH: install Go $(sed -n 's/^go //p' "$IOPS_ROOT/go.mod") or newer from https://go.dev/dl and start again" >&2
    exit 1
  fi
  mkdir -p "$bin"
  if [ -t 1 ] && [ ! -x "$bin/$program" ]; then
    echo "  building $script, the first time …" >&2
  fi
  # One at a time: a program that another one is writing cannot be started.
  exec 9>"$IOPS_ROOT/.local/build.lock"
  if command -v flock >/dev/null; then flock 9; fi
  GOOS="" GOARCH="" go build -C "$IOPS_ROOT/$module" -o "$bin/$program" "$package"
  exec 9>&-
  exec "$bin/$program" "$@"
}
