# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Steps of scripts/demo and scripts/test: each runs with its output in a log and prints one line.
# Needs apt.sh (SEVMON_ROOT, SEVMON_CACHE).

LOGS=$SEVMON_CACHE/logs
mkdir -p "$LOGS"

# Seconds with a tenth since `now` printed $1.
now() { date +%s%N; }
seconds_since() {
  local tenths=$((($(now) - $1) / 100000000))
  echo "$((tenths / 10)).$((tenths % 10)) s"
}

# step NAME COMMAND...: the command's status; its output in $step_log. On failure the log's end. With
# $step_nice set the command gives way to others.
step() {
  local name=$1 start status=0
  shift
  step_log=$LOGS/$(tr -cs 'A-Za-z0-9\n' - <<<"$name").log
  start=$(now)
  printf '%-58s' "$name"
  if [[ ${step_nice:-} ]]; then
    # Who is nicer already, and nobody special, cannot.
    (renice -n "$step_nice" -p "$BASHPID"; "$@") >"$step_log" 2>&1 || status=$?
  else
    "$@" >"$step_log" 2>&1 || status=$?
  fi
  if ((status == 0)); then
    printf '%10s\n' "$(seconds_since "$start")"
  else
    printf '%10s  FAILED (%d)\n' "$(seconds_since "$start")" "$status"
    tail -n "${STEP_TAIL:-25}" "$step_log" | sed 's/^/    /'
    echo "    … all of it: $step_log"
  fi
  return "$status"
}

# meson_build NAME OPTION... [-- TARGET...]: configure (once, and again when the options change) and
# compile in $SEVMON_CACHE/build/NAME. CC, CXX from the environment.
meson_build() {
  local dir=$SEVMON_CACHE/build/$1 options=()
  shift
  while (($#)) && [[ $1 != -- ]]; do
    options+=("$1")
    shift
  done
  # Half the time for each of a hundred programs, and sanitized ones are large.
  if [[ ${CC:-} == clang* ]]; then local -x CC_LD=lld CXX_LD=lld; fi
  local wanted="${CC:-} ${CXX:-} ${CXX_LD:-} ${options[*]}"
  if [[ ! -f $dir/build.ninja || $(cat "$dir/configured-with" 2>/dev/null) != "$wanted" ]]; then
    rm -rf "$dir"
    meson setup "$dir" "$SEVMON_ROOT" "${options[@]}"
    echo "$wanted" >"$dir/configured-with"
  fi
  ninja -C "$dir" -j "${SEVMON_JOBS:-$(nproc)}" "${@:2}"
}

# release_build [TARGET...]: the build that the demo and the integration tests run; all of it, or
# these. Corpora replay in builds with sanitizers.
release_build() { meson_build release -Doptimization=2 -Ddebug=false -Dfuzzing=none -- "$@"; }
