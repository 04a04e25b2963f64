# Completion of seqpushd for bash. What there is to complete is what the program itself says.

_seqpushd() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} program=${COMP_WORDS[0]}
    case $before in
    -c | --config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    --set)
        compopt -o nospace
        mapfile -t COMPREPLY < <(compgen -S = -W "$("$program" --print-config 2>/dev/null |
            awk '/^[a-z]/ {section = $1} /^    [a-z_]+ =/ {print section "/" $1}')" -- "$word")
        ;;
    *)
        mapfile -t COMPREPLY < <(compgen -W "$("$program" --help 2>/dev/null |
            sed -n 's/^ *\(-[a-zA-Z], \)\?\(--[a-z0-9-]*\).*/\2/p')" -- "$word")
        ;;
    esac
}

complete -o filenames -F _seqpushd seqpushd
