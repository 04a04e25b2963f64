//  fuzz_config.c - any bytes as a configuration: what is read prints to what reads as the same

#include "config.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static config_t *s_load(const void *data, size_t size)
{
    char path[64], *error;
    int file = memfd_create("seqpushd.conf", 0);
    if (file < 0 || write(file, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    config_t *config = config_load(path, NULL, 0, &error);
    close(file);
    if (!config == !error)
        abort();
    free(error);
    return config;
}

static char *s_print(const config_t *config, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    config_print(config, out);
    fclose(out);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    config_t *config = s_load(data, size);
    if (!config)
        return 0;
    size_t first_size, second_size;
    char *first = s_print(config, &first_size);
    config_t *again = s_load(first, first_size);
    if (!again)
        abort();
    char *second = s_print(again, &second_size);
    if (strcmp(first, second) != 0)
        abort();
    free(first);
    free(second);
    config_destroy(&again);
    config_destroy(&config);
    return 0;
}
