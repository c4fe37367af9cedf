/* `valet keys new`: a key for somebody, and the line that goes into the keys file. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "commands.h"
#include "config/keys.h"
#include "options.h"

struct keys_options {
    const char *tenant;
    const char *scopes;
};

#define FIELD(name) offsetof(struct keys_options, name)

static const struct option_spec g_options[] = {
    { "tenant", OPTION_TEXT, "NAME", FIELD(tenant), 0, 0, "whose key it is (default: default)" },
    { "scopes", OPTION_TEXT, "LIST", FIELD(scopes), 0, 0,
      "of infer, admin, metrics, with commas (default: infer)" },
};

static const struct command g_command = {
    .usage = "valet keys new [options]",
    .about =
        "Makes an API key. The first line is the key, shown this once; the second belongs into\n"
        "the file of auth.keys_file and has only the key's SHA-256.",
    .options = g_options,
    .option_count = sizeof g_options / sizeof g_options[0],
    .operands_min = 1,
    .operands_max = 1,
};

int command_keys(int argc, char **argv)
{
    struct keys_options options = { .tenant = "default", .scopes = "infer" };
    const char *action;
    int operand_count;
    char key[64];
    char hash[2 * KEYS_SHA256_BYTES + 1];
    int rc = options_parse(&g_command, argc, argv, &options, &action, &operand_count);
    if (rc != OPTIONS_GO)
        return rc;
    if (strcmp(action, "new") != 0)
        return command_wrong("keys: the only action is 'new'");
    if (!keys_is_tenant(options.tenant))
        return command_wrong("--tenant: a name has 1 to 64 of A-Z a-z 0-9 . _ -");
    if (keys_parse_scopes(options.scopes) == 0)
        return command_wrong(
            "--scopes: expected some of infer, admin, metrics, with commas between");
    random_id(&base_random_system, "sk-valet-", key, sizeof key);
    if (!keys_hash_text(key, strlen(key), hash)) {
        fputs("valet: the key cannot be hashed\n", stderr);
        return EXIT_FAILED;
    }
    printf("%s\nsha256:%s %s scopes=%s\n", key, hash, options.tenant, options.scopes);
    return EXIT_OK;
}
