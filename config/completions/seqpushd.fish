# Completion of seqpushd for fish. What there is to complete is what the program itself says.

function __seqpushd_options
    set -l words (commandline -opc)
    command $words[1] --help 2>/dev/null |
        sed -n 's/^ *\(-[a-zA-Z], \)\{0,1\}\(--[a-z0-9-]*\)[A-Z= ]*  *\(.*\)/\2\t\3/p'
end

function __seqpushd_keys
    set -l words (commandline -opc)
    command $words[1] --print-config 2>/dev/null |
        awk '/^[a-z]/ {section = $1} /^    [a-z_]+ =/ {print section "/" $1 "="}'
end

function __seqpushd_after
    contains -- (commandline -opc)[-1] $argv
end

complete -c seqpushd -n 'not __seqpushd_after -c --config --set' -f -a '(__seqpushd_options)'
complete -c seqpushd -n '__seqpushd_after --set' -f -a '(__seqpushd_keys)'
