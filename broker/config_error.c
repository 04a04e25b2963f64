//  config_error.c - what is wrong with a configuration, and where; see config_error.h

#include "config_error.h"
#include <ctype.h>
#include <stdarg.h>

FILE *config_error_begin(config_error_t *self, const char *path)
{
    FILE *out = open_memstream(&self->text, &self->size);
    if (!out)
        return NULL;
    if (self->line)
        fprintf(out, "%s:%u: ", self->source, self->line);
    else
        fprintf(out, "%s: ", self->source);
    if (path)
        fprintf(out, "%.200s: ", path);
    return out;
}

//  One line it is whatever was quoted in it.
bool config_error_end(config_error_t *self, FILE *out)
{
    if (fclose(out) != 0)
        return false;
    for (char *at = self->text; *at; at++)
        if (iscntrl((unsigned char)*at))
            *at = '?';
    return false;
}

bool config_error_set(config_error_t *self, const char *path, const char *format, ...)
{
    FILE *out = config_error_begin(self, path);
    if (!out)
        return false;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(out, format, arguments);
    va_end(arguments);
    return config_error_end(self, out);
}
