/*  load.c - the arguments and the memory that the processes of a load share */

#include "load.h"
#include "tool_bench.h"
#include <endian.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>

load_t *load;

int load_run(int argc, char **argv)
{
    //  A counterpart has no figures to ask for.
    tool_t tool = {.http = "127.0.0.1:0", .json = true};
    if (argc < 3 || sodium_init() < 0) {
        fprintf(stderr, "Usage: %s KIND FROM[,FROM...] OPTION..., as of seqpush bench\n", argv[0]);
        return TOOL_USAGE;
    }
    load = mmap(NULL, sizeof *load, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (load == MAP_FAILED)
        return TOOL_UNABLE;
    load->kind = argv[1];
    load->from = argv[2];
    return bench_run(&tool, argc - 2, argv + 2);
}

size_t load_client(const void *id, size_t size)
{
    const char *text = id;
    size_t number = 0;
    for (size_t unit = 1; size && text[size - 1] >= '0' && text[size - 1] <= '9'; unit *= 10)
        number += unit * (size_t)(text[--size] - '0');
    return number <= LOAD_CLIENTS_MAX ? number : 0;
}

bool load_seq(const void *payload, size_t size, uint64_t *seq)
{
    if (size < BENCH_HEAD)
        return false;
    memcpy(seq, (const char *)payload + BENCH_HEAD - 2 * sizeof *seq, sizeof *seq);
    *seq = le64toh(*seq);
    return true;
}

bool load_part(const char *list, size_t index, char part[LOAD_ENDPOINT_SIZE])
{
    size_t size = strcspn(list, ",");
    const char *at = list;
    for (; index; index--) {
        at = at[size] ? at + size + 1 : list;
        size = strcspn(at, ",");
    }
    if (size == 0 || size >= LOAD_ENDPOINT_SIZE)
        return false;
    memcpy(part, at, size);
    part[size] = '\0';
    return true;
}
