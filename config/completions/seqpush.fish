# Completion of seqpush for fish. What there is to complete is what the program's own help says.

function __seqpush_commands
    command $argv[1] --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\)  *\(.*\)/\1\t\2/p'
end

function __seqpush_command
    set -l words (commandline -opc)
    for word in $words[2..]
        if __seqpush_commands $words[1] | string match -qr "^$word\t"
            echo $word
            return 0
        end
    end
    return 1
end

function __seqpush_options
    set -l words (commandline -opc)
    command $words[1] (__seqpush_command) --help 2>/dev/null |
        sed -n 's/^ *\(-[a-zA-Z], \)\{0,1\}\(--[a-z0-9-]*\)[A-Z ]*  *\(.*\)/\2\t\3/p'
end

complete -c seqpush -n 'not __seqpush_command >/dev/null' -f -a '(__seqpush_commands seqpush)'
complete -c seqpush -n 'string match -q -- "-*" (commandline -ct)' -a '(__seqpush_options)'
complete -c seqpush -n 'test (__seqpush_command) = bench' -l only -x -a 'publish receive'
complete -c seqpush -n 'test (commandline -opc)[-1] = journal' -f -a 'info verify dump'
