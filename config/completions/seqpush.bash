# Completion of seqpush for bash. What there is to complete is what the program's own help says.

_seqpush() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} program=${COMP_WORDS[0]}
    local commands other
    local -a command=()
    commands=$("$program" --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
    for other in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $'\n'$commands$'\n' == *$'\n'"$other"$'\n'* ]] && command=("$other") && break
    done
    case $before in
    --positions | --key) mapfile -t COMPREPLY < <(compgen -f -- "$word") && return ;;
    --only) mapfile -t COMPREPLY < <(compgen -W "publish receive" -- "$word") && return ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$("$program" "${command[@]}" --help 2>/dev/null |
            sed -n 's/^ *\(-[a-zA-Z], \)\?\(--[a-z0-9-]*\).*/\2/p')" -- "$word")
    elif [[ $before == journal ]]; then
        mapfile -t COMPREPLY < <(compgen -W "info verify dump" -- "$word")
    elif ((! ${#command[@]})); then
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}

complete -o filenames -F _seqpush seqpush
