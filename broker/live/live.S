// live.S - the live page as CMake has put it together, a string in the program

    .section .rodata
    .global live_page
live_page:
    .incbin LIVE_PAGE
    .byte 0

    .section .note.GNU-stack, "", %progbits
