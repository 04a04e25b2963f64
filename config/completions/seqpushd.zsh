#compdef seqpushd
# Completion of seqpushd for zsh. What there is to complete is what the program itself says.

local -a options keys
case $words[CURRENT-1] in
-c | --config) _files ;;
--set)
    keys=(${(f)"$($words[1] --print-config 2>/dev/null |
        awk '/^[a-z]/ {section = $1} /^    [a-z_]+ =/ {print section "/" $1}')"})
    compadd -S = -a keys
    ;;
*)
    options=(${(f)"$($words[1] --help 2>/dev/null |
        sed -n 's/^ *\(-[a-zA-Z], \)\{0,1\}\(--[a-z0-9-]*\)[A-Z= ]*  *\(.*\)/\2:\3/p')"})
    _describe option options
    ;;
esac
