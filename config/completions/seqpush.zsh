#compdef seqpush
# Completion of seqpush for zsh. What there is to complete is what the program's own help says.

local -a offered names options
local command word
offered=(${(f)"$($words[1] --help 2>/dev/null |
    sed -n '/^Commands:/,/^$/s/^  \([a-z]*\)  *\(.*\)/\1:\2/p')"})
names=(${offered%%:*})
for word in ${words[2,CURRENT-1]}; do
    (( ${names[(Ie)$word]} )) && command=$word && break
done
if [[ $words[CURRENT] == -* ]]; then
    options=(${(f)"$($words[1] $command --help 2>/dev/null |
        sed -n 's/^ *\(-[a-zA-Z], \)\{0,1\}\(--[a-z0-9-]*\)[A-Z ]*  *\(.*\)/\2:\3/p')"})
    _describe option options
elif [[ -z $command ]]; then
    _describe command offered
elif [[ $words[CURRENT-1] == --only ]]; then
    compadd publish receive
elif [[ $words[CURRENT-1] == journal ]]; then
    compadd info verify dump
else
    _files
fi
