//  live.c - the policy of the live page; see live.h
//
//  The policy has the hashes of the one script and the one style that are in the page, so nothing else
//  is run or applied, whatever gets into the page.

#include "live.h"
#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define BASE64 sodium_base64_VARIANT_ORIGINAL
#define HASH_MAX sodium_base64_ENCODED_LEN(crypto_hash_sha256_BYTES, BASE64)

static char s_policy[512];

//  The hash of what lies between the tags, as the policy has it.
static void s_hash(char text[HASH_MAX], const char *open, const char *close)
{
    const char *begin = strstr(live_page, open), *end = strstr(live_page, close);
    assert(begin && end);
    begin += strlen(open);
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, (const unsigned char *)begin, (size_t)(end - begin));
    sodium_bin2base64(text, HASH_MAX, hash, sizeof hash, BASE64);
}

void live_init(void)
{
    char script[HASH_MAX], style[HASH_MAX];
    s_hash(script, "<script>", "</script>");
    s_hash(style, "<style>", "</style>");
    snprintf(
        s_policy, sizeof s_policy,
        "default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        script, style);
}

const char *live_policy(void)
{
    return s_policy;
}
