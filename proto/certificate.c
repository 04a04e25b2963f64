//  certificate.c - a CURVE key pair and the files that it is kept in; see certificate.h

#include "certificate.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#define KEY_LENGTH (CERTIFICATE_KEY_SIZE - 1)
#define FILE_SIZE_MAX 4096 //  bytes

int certificate_make(certificate_t *self)
{
    return zmq_curve_keypair(self->public_key, self->secret_key) == 0 ? 0 : -errno;
}

void certificate_forget(certificate_t *self)
{
    explicit_bzero(self, sizeof *self);
}

bool certificate_is_key(const char *text)
{
    static const char z85[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              ".-:+=^!/*?&<>()[]{}@%$#";
    uint8_t bytes[32];
    return strlen(text) == KEY_LENGTH && strspn(text, z85) == KEY_LENGTH &&
           zmq_z85_decode(bytes, text);
}

//  ---- reading -----------------------------------------------------------------------------------

static const char *s_check_file(int file)
{
    struct stat status;
    if (fstat(file, &status) != 0)
        return strerror(errno);
    if (!S_ISREG(status.st_mode))
        return "is no regular file";
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return "belongs to somebody else";
    return status.st_mode & 077 ? "can be used by others, as its mode is not 0600" : NULL;
}

//  Copies what stands in quotes behind `name =`, if it is a key.
static bool s_find(const char *text, const char *name, char key[CERTIFICATE_KEY_SIZE])
{
    const char *at = strstr(text, name);
    if (!at)
        return false;
    at += strlen(name);
    at += strspn(at, " \t");
    if (*at != '=')
        return false;
    at += 1 + strspn(at + 1, " \t");
    if (*at != '"' || strcspn(at + 1, "\"") != KEY_LENGTH)
        return false;
    memcpy(key, at + 1, KEY_LENGTH);
    key[KEY_LENGTH] = '\0';
    return certificate_is_key(key);
}

static const char *s_parse(certificate_t *self, const char *text)
{
    char public_key[CERTIFICATE_KEY_SIZE];
    if (!s_find(text, "public-key", self->public_key) ||
        !s_find(text, "secret-key", self->secret_key))
        return "has no public-key and secret-key";
    if (zmq_curve_public(public_key, self->secret_key) != 0)
        return "cannot be used: this libzmq has no CURVE";
    return strcmp(public_key, self->public_key) == 0 ? NULL : "has keys that are no pair";
}

static const char *s_read(certificate_t *self, int file)
{
    char text[FILE_SIZE_MAX + 1];
    ssize_t size = read(file, text, FILE_SIZE_MAX);
    if (size < 0)
        return strerror(errno);
    text[size] = '\0';
    const char *wrong = s_parse(self, text);
    explicit_bzero(text, sizeof text);
    return wrong;
}

const char *certificate_read(certificate_t *self, const char *path)
{
    //  A FIFO would make open wait.
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0)
        return strerror(errno);
    //  Of a file that others may have written not even the length is looked at.
    const char *wrong = s_check_file(file);
    if (!wrong)
        wrong = s_read(self, file);
    close(file);
    if (wrong)
        certificate_forget(self);
    return wrong;
}

//  ---- writing -----------------------------------------------------------------------------------

static bool s_print(const certificate_t *self, FILE *out, bool secret)
{
    fprintf(out, "#  A CURVE %s of seqpush.\n", secret ? "key pair" : "public key");
    if (secret)
        fputs("#  Keep it to yourself, with mode 0600.\n", out);
    fprintf(out, "curve\n    public-key = \"%s\"\n", self->public_key);
    if (secret)
        fprintf(out, "    secret-key = \"%s\"\n", self->secret_key);
    return fflush(out) == 0 && fsync(fileno(out)) == 0;
}

int certificate_write(const certificate_t *self, const char *path, bool secret)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, secret ? 0600 : 0644);
    if (file < 0)
        return -errno;
    FILE *out = fdopen(file, "w");
    bool ok = out && s_print(self, out, secret);
    int error = ok ? 0 : -errno;
    if (out)
        fclose(out);
    else
        close(file);
    if (!ok)
        unlink(path);
    return error;
}
