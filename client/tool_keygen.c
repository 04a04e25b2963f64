/*  tool_keygen.c - `seqpush keygen`: makes a CURVE key pair */

#include "certificate.h"
#include "tool.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const tool_command_t s_command = {
    .name = "keygen",
    .usage = "NAME",
    .description =
        "Makes a CURVE key pair: NAME.key with both keys, for its owner alone, and NAME.pub\n"
        "with the public key, which is printed too. Files that are there stay as they are.",
    .statuses = "  0  both files are written\n"
                "  1  they could not be\n"
                "  2  wrong use",
    .operands_min = 1,
    .operands_max = 1,
};

static bool s_write(const certificate_t *certificate, const char *path, bool secret)
{
    int rc = certificate_write(certificate, path, secret);
    if (rc < 0)
        tool_say("%s: %s%s", path, strerror(-rc),
                 rc == -EEXIST ? ": take another name, or move the old keys away" : "");
    return rc == 0;
}

//  Writes both files or none.
static bool s_write_both(const certificate_t *certificate, const char *name)
{
    char *key = NULL, *public = NULL;
    if (asprintf(&key, "%s.key", name) < 0 || asprintf(&public, "%s.pub", name) < 0)
        abort();
    bool ok = s_write(certificate, key, true);
    if (ok && !s_write(certificate, public, false)) {
        unlink(key);
        ok = false;
    }
    free(key);
    free(public);
    return ok;
}

static void s_print(const tool_t *tool, const certificate_t *certificate)
{
    if (tool->json)
        tool_print_json(stdout, json_pack("{s:s}", "public_key", certificate->public_key));
    else
        puts(certificate->public_key);
}

int keygen_run(tool_t *tool, int argc, char **argv)
{
    tool_parse(tool, &s_command, NULL, 0, argc, &argv);
    certificate_t certificate;
    int rc = certificate_make(&certificate);
    if (rc < 0)
        tool_say("%s", strerror(-rc));
    bool ok = rc == 0 && s_write_both(&certificate, argv[0]);
    if (ok)
        s_print(tool, &certificate);
    certificate_forget(&certificate);
    return ok ? TOOL_OK : TOOL_BAD;
}
