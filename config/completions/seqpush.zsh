#compdef seqpush
# Completion of seqpush for zsh. What there is to complete is what the program's own help says.

local -a commands options
local command
commands=(${(f)"$($words[1] --help 2>/dev/null |
    sed -n '/^Commands:/,/^$/s/^  \([a-z]*\)  *\(.*\)/\1:\2/p')"})
command=${${words[2,CURRENT-1]}[(r)(${(j:|:)${commands%%:*}})]}
if [[ $words[CURRENT] == -* ]]; then
    options=(${(f)"$($words[1] $command --help 2>/dev/null |
        sed -n 's/^ *\(-[a-zA-Z], \)\{0,1\}\(--[a-z0-9-]*\)[A-Z ]*  *\(.*\)/\2:\3/p')"})
    _describe option options
elif [[ -z $command ]]; then
    _describe command commands
else
    _files
fi
