# SPDX-License-Identifier: Apache-2.0
# bash completion for sevmon(1)
_sevmon() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} word command='' i
  local globals='--connect --key --config --profile --domain --timeout --color --user --json --stats
    --development --verbose --help --version'
  local options=''
  COMPREPLY=()
  case $prev in
    --key | --config | --profile | --output | -o | --include | -I)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      return
      ;;
    --color)
      mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$cur")
      return
      ;;
    --connect | --user | --domain | --timeout | --root) return ;;
    --format)
      mapfile -t COMPREPLY < <(compgen -W 'elf lime' -- "$cur")
      return
      ;;
    --range | --interval | --deadline | --silence | --ps | --count | --duration) return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      keygen | revoke | status | profile | program | os-version | ps | modules | read | dump | translate | check | \
        vcpu | watch | build | show | types | verify | run | list | unload | schedule | unschedule | results)
        command=$word
        ;;
    esac
  done
  case $command in
    '') options='keygen revoke status profile program run os-version ps modules read dump translate check vcpu watch' ;;
    profile) options='build show types' ;;
    program) options='build verify run list unload schedule unschedule results' ;;
    run) options='--include --input --budget --pause --atomic --output' ;;
    schedule) options='--include --input --budget --pause --every --in-slices' ;;
    results) options='--keep --dump' ;;
    check) options='translation text' ;;
    text) options='--copy --take' ;;
    build) options='--output --include' ;;
    types) options='--output' ;;
    verify) options='--include --listing' ;;
    ps) options='--tree --threads --method --atomic' ;;
    modules) options='--method --atomic' ;;
    read) options='--output --root --physical --zero-fill' ;;
    dump) options='--format --range --zstd --resume --force --progress' ;;
    translate) options='--root' ;;
    vcpu) options='--symbols' ;;
    watch) options='--interval --deadline --silence --ps --count --duration' ;;
  esac
  if [[ $cur != -* && $command =~ ^(build|show|verify|run|schedule|keygen|revoke|dump)$ ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    return
  fi
  [[ $cur == -* ]] && options+=" $globals"
  mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
}
complete -F _sevmon sevmon
