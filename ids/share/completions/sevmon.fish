# SPDX-License-Identifier: Apache-2.0
# fish completion for sevmon(1)
set -l commands keygen revoke status profile program run os-version ps modules read dump translate check vcpu watch
complete -c sevmon -n "not __fish_seen_subcommand_from $commands" -f -a "$commands"
complete -c sevmon -n "__fish_seen_subcommand_from profile" -a "build show types"
complete -c sevmon -n "__fish_seen_subcommand_from program" -a "build verify run list unload schedule unschedule results"
complete -c sevmon -n "__fish_seen_subcommand_from check" -a "translation text"
complete -c sevmon -l connect -x -d 'tcp:HOST:PORT, shm:FILE or image:FILE'
complete -c sevmon -l key -r -d "this IDS's key"
complete -c sevmon -l config -r -d 'configuration file'
complete -c sevmon -l profile -r -d 'profile or directory of profiles'
complete -c sevmon -l domain -x -a dom0 -d 'target domain'
complete -c sevmon -l timeout -x -d 'wait for each answer'
complete -c sevmon -l color -x -a 'auto always never'
complete -c sevmon -l user -x -d 'when root, the user to become'
complete -c sevmon -l json -d 'print one JSON document'
complete -c sevmon -l stats -d 'round trips and bytes'
complete -c sevmon -l development -d 'accept what production must not'
complete -c sevmon -s v -l verbose -d 'more messages'
complete -c sevmon -s h -l help
complete -c sevmon -l version
complete -c sevmon -n "__fish_seen_subcommand_from build read types run" -s o -l output -r -d 'file'
complete -c sevmon -n "__fish_seen_subcommand_from show verify run schedule" -F
complete -c sevmon -n "__fish_seen_subcommand_from program" -s I -l include -r -d 'headers'
complete -c sevmon -n "__fish_seen_subcommand_from verify" -l listing -d 'each instruction'
complete -c sevmon -n "__fish_seen_subcommand_from run" -s I -l include -r -d 'headers'
complete -c sevmon -n "__fish_seen_subcommand_from run schedule" -l input -x -d 'hexadecimal'
complete -c sevmon -n "__fish_seen_subcommand_from run schedule" -l budget -x -d 'instructions'
complete -c sevmon -n "__fish_seen_subcommand_from run schedule" -l pause -x -d 'milliseconds'
complete -c sevmon -n "__fish_seen_subcommand_from run" -l atomic -d 'pause the target'
complete -c sevmon -n "__fish_seen_subcommand_from schedule" -l every -x -d 'MIN-MAX milliseconds'
complete -c sevmon -n "__fish_seen_subcommand_from schedule" -l in-slices -d 'not atomic'
complete -c sevmon -n "__fish_seen_subcommand_from results" -l keep -d 'leave them there'
complete -c sevmon -n "__fish_seen_subcommand_from results" -l dump -d 'bytes, too'
complete -c sevmon -n "__fish_seen_subcommand_from ps" -l tree -d 'children below parents'
complete -c sevmon -n "__fish_seen_subcommand_from ps" -l threads -d 'every thread'
complete -c sevmon -n "__fish_seen_subcommand_from ps modules" -l method -x -a 'program pages both' -d 'how to list them'
complete -c sevmon -n "__fish_seen_subcommand_from ps modules" -l atomic -d 'pause the target'
complete -c sevmon -n "__fish_seen_subcommand_from read translate" -l root -x -d 'page table'
complete -c sevmon -n "__fish_seen_subcommand_from read" -l physical -d 'guest-physical address'
complete -c sevmon -n "__fish_seen_subcommand_from read" -l zero-fill -d 'zeros where nothing is'
complete -c sevmon -n "__fish_seen_subcommand_from dump" -F
complete -c sevmon -n "__fish_seen_subcommand_from dump" -l format -x -a 'elf lime' -d 'of the file'
complete -c sevmon -n "__fish_seen_subcommand_from dump" -l range -x -d '0xADDRESS:LENGTH'
complete -c sevmon -n "__fish_seen_subcommand_from dump" -l zstd -d 'compress'
complete -c sevmon -n "__fish_seen_subcommand_from dump" -l resume -d 'go on with FILE.part'
complete -c sevmon -n "__fish_seen_subcommand_from dump" -l force -d 'replace and begin anew'
complete -c sevmon -n "__fish_seen_subcommand_from dump" -l progress -d 'say how far it is'
complete -c sevmon -n "__fish_seen_subcommand_from text" -l copy -r -d 'of text and constants'
complete -c sevmon -n "__fish_seen_subcommand_from text" -l take -d 'take it now'
complete -c sevmon -n "__fish_seen_subcommand_from vcpu" -l symbols -d 'name entry points'
complete -c sevmon -n "__fish_seen_subcommand_from watch" -l interval -x -d 'one request that often'
complete -c sevmon -n "__fish_seen_subcommand_from watch" -l deadline -x -d 'later is late'
complete -c sevmon -n "__fish_seen_subcommand_from watch" -l silence -x -d 'no answer for that long'
complete -c sevmon -n "__fish_seen_subcommand_from watch" -l ps -x -d 'list processes that often'
complete -c sevmon -n "__fish_seen_subcommand_from watch" -l count -x -d 'end after requests'
complete -c sevmon -n "__fish_seen_subcommand_from watch" -l duration -x -d 'end after that time'
