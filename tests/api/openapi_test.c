/* /openapi.json says what is: its routes, its fields and its answers are asked for. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "answers.h"
#include "api/api_int.h"
#include "base/fault.h"
#include "client.h"
#include "rig.h"
#include "suite.h"

#define JSON_TYPE "Content-Type: application/json\r\n"

static const struct rig_options g_options = { .slots = 2, .blocks = 512, .queue_count_max = 8 };

static json_t *document(struct rig *r)
{
    struct answer a;
    client_once(r->port, "GET", "/openapi.json", "", NULL, &a);
    ck_assert_int_eq(a.status, 200);
    json_t *json = answer_json(&a);
    answer_fini(&a);
    return json;
}

/* Walks "a", "b", …, NULL. */
static const json_t *at(const json_t *json, const char *const *keys)
{
    for (; *keys; keys++) {
        json = json_object_get(json, *keys);
        ck_assert_msg(json != NULL, "no key %s", *keys);
    }
    return json;
}
#define AT(json, ...) at((json), (const char *const[]){ __VA_ARGS__, NULL })

START_TEST(every_route_and_every_field_is_in_it)
{
    struct rig r;
    struct api_route route;
    size_t count = 0;
    rig_start(&r, &g_options, SCRIPT_ECHO);
    json_t *doc = document(&r);
    ck_assert_str_eq(json_string_at(doc, "openapi"), "3.1.0");
    ck_assert_str_eq(json_string_at(AT(doc, "info"), "version"), "1.2.3");
    for (; api_route_at(count, &route); count++) {
        char path[64];
        size_t len = strlen(route.path);
        snprintf(path, sizeof path, "%s%s", route.path, route.path[len - 1] == '/' ? "{id}" : "");
        const json_t *op = AT(doc, "paths", path, route.post ? "post" : "get");
        ck_assert_msg(*json_string_at(op, "summary"), "nothing is said of %s", path);
        ck_assert_uint_eq(json_array_size(json_object_get(op, "security")), route.scope ? 2 : 0);
        ck_assert_int_eq(json_object_get(op, "requestBody") != NULL, route.post);
        AT(op, "responses", "200", "content");
    }
    ck_assert_uint_eq(json_object_size(AT(doc, "paths")), count);
    static const struct {
        const char *path;
        unsigned route;
    } bodies[] = { { "/v1/chat/completions", PARAMS_CHAT },
                   { "/v1/completions", PARAMS_COMPLETION },
                   { "/tokenize", PARAMS_TOKENIZE },
                   { "/detokenize", PARAMS_DETOKENIZE },
                   { "/apply-template", PARAMS_TEMPLATE } };
    for (size_t k = 0; k < sizeof bodies / sizeof bodies[0]; k++) {
        const json_t *properties = AT(doc, "paths", bodies[k].path, "post", "requestBody",
                                      "content", "application/json", "schema", "properties");
        const char *name;
        unsigned routes;
        size_t fields = 0;
        for (size_t i = 0; (name = params_field(i, &routes)); i++) {
            if (routes & bodies[k].route) {
                AT(properties, name);
                fields++;
            }
        }
        ck_assert_uint_eq(json_object_size(properties), fields);
    }
    json_decref(doc);
    rig_stop(&r);
}
END_TEST

/* ---- what it says is true ---- */

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]"

/* Whether a field is about messages: /tokenize reads these only with messages. */
static bool is_of_messages(const char *field)
{
    const char *name;
    unsigned routes;
    for (size_t i = 0; (name = params_field(i, &routes)); i++) {
        if (strcmp(name, field) == 0 && routes & PARAMS_TEMPLATE)
            return strcmp(name, "model") != 0;
    }
    return false;
}

/* A good body that has a field read, without the braces. */
static const char *base_of(const char *path, const char *field)
{
    if (strcmp(path, "/v1/completions") == 0)
        return "\"prompt\":\"a\"";
    if (strcmp(path, "/tokenize") == 0)
        return field && is_of_messages(field) ? MESSAGES : "\"prompt\":\"a\"";
    return strcmp(path, "/detokenize") == 0 ? "\"tokens\":[65]" : MESSAGES;
}

static void post(struct rig *r, const char *path, const char *field, const char *value,
                 struct answer *out)
{
    char body[256];
    const char *base = base_of(path, field);
    size_t len = field ? strlen(field) : 0;
    bool is_base = field && strncmp(base + 1, field, len) == 0 && base[1 + len] == '"';
    bool is_alone = is_base || (field && strcmp(field, "content") == 0);
    if (!field)
        snprintf(body, sizeof body, "{%s}", base);
    else if (is_alone && strcmp(value, "null") != 0)
        snprintf(body, sizeof body, "{\"%s\":%s}", field, value);
    else if (is_base) /* absent, so another one has to be there */
        snprintf(body, sizeof body, "{\"%s\":null,\"content\":\"a\"}", field);
    else
        snprintf(body, sizeof body, "{%s,\"%s\":%s}", base, field, value);
    client_once(r->port, "POST", path, JSON_TYPE, body, out);
}

static bool lists(const json_t *types, const char *type)
{
    bool found = false;
    for (size_t i = 0; i < json_array_size(types); i++)
        found = found || strcmp(json_string_value(json_array_get(types, i)), type) == 0;
    return found;
}

static void expect_wrong(struct rig *r, const char *path, const char *field, const char *value)
{
    struct answer a;
    post(r, path, field, value, &a);
    ck_assert_msg(a.status == 400, "%s: %s may be %s", path, field, value);
    json_t *json = answer_json(&a);
    const char *param = json_string_at(AT(json, "error"), "param");
    ck_assert_msg(strncmp(param, field, strlen(field)) == 0, "%s: %s is about %s", path, field,
                  param);
    json_decref(json);
    answer_fini(&a);
}

static void check_field(struct rig *r, const char *path, const char *field, const json_t *types)
{
    static const struct {
        const char *type;
        const char *value;
    } rows[] = { { "boolean", "true" },           { "number", "7.5" },
                 { "string", "\"\\u0001\"" },     { "array", "[]" },
                 { "object", "{\"\\u0001\":1}" }, { "null", "null" } };
    ck_assert(json_is_array(types) && json_array_size(types) > 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!lists(types, rows[i].type))
            expect_wrong(r, path, field, rows[i].value);
    }
    if (!lists(types, "integer") && !lists(types, "number"))
        expect_wrong(r, path, field, "7");
    if (!lists(types, "null"))
        return;
    struct answer a;
    post(r, path, field, "null", &a);
    ck_assert_msg(a.status == 200, "%s: %s may not be null", path, field);
    answer_fini(&a);
}

START_TEST(a_type_that_it_does_not_list_is_refused)
{
    struct rig r;
    rig_start(&r, &g_options, SCRIPT_LENGTH);
    json_t *doc = document(&r);
    const char *path;
    json_t *item;
    unsigned fields = 0;
    json_object_foreach((json_t *)(uintptr_t)AT(doc, "paths"), path, item)
    {
        if (!json_object_get(item, "post"))
            continue;
        const json_t *properties =
            AT(item, "post", "requestBody", "content", "application/json", "schema", "properties");
        const char *field;
        json_t *schema;
        json_object_foreach((json_t *)(uintptr_t)properties, field, schema)
        {
            check_field(&r, path, field, json_object_get(schema, "type"));
            fields++;
        }
    }
    ck_assert_uint_gt(fields, 100);
    json_decref(doc);
    rig_stop(&r);
}
END_TEST

static void check_answer(const struct answer *a, const char *path, const json_t *op)
{
    char type[96];
    ck_assert_msg(a->status == 200, "%s: %d", path, a->status);
    ck_assert(answer_field(a, "Content-Type", type, sizeof type));
    *(strchr(type, ';') ? strchr(type, ';') : type + strlen(type)) = '\0';
    const json_t *schema = AT(op, "responses", "200", "content", type, "schema");
    const json_t *required = json_object_get(schema, "required");
    json_t *json = strcmp(type, "application/json") == 0 ? answer_json(a) : NULL;
    ck_assert_int_eq(json != NULL, json_array_size(required) > 0);
    for (size_t i = 0; i < json_array_size(required); i++)
        AT(json, json_string_value(json_array_get(required, i)));
    json_decref(json);
}

START_TEST(answers_have_the_type_and_the_keys_that_it_names)
{
    struct rig r;
    rig_start(&r, &g_options, SCRIPT_LENGTH);
    json_t *doc = document(&r);
    const char *path;
    json_t *item;
    json_object_foreach((json_t *)(uintptr_t)AT(doc, "paths"), path, item)
    {
        struct answer a;
        const json_t *op = json_object_get(item, "post");
        char real[64];
        snprintf(real, sizeof real, "%.*s%s", (int)strcspn(path, "{"), path,
                 !strchr(path, '{')      ? ""
                 : strstr(path, "pools") ? "chat"
                                         : "org/m");
        if (op)
            post(&r, path, NULL, NULL, &a);
        else
            client_once(r.port, "GET", real, "", NULL, &a);
        check_answer(&a, path, op ? op : AT(item, "get"));
        answer_fini(&a);
        if (!op || !json_object_get(op, "parameters"))
            continue;
        post(&r, path, "stream", "true", &a);
        check_answer(&a, path, op);
        answer_fini(&a);
    }
    json_decref(doc);
    rig_stop(&r);
}
END_TEST

#if VALET_CHECKS
START_TEST(a_document_that_finds_no_memory_is_none)
{
    struct base_buf out;
    for (unsigned n = 1;; n++) {
        buf_init(&out, MEM_API, 1 << 20);
        fault_arm(FAULT_ALLOC, n);
        enum base_err rc = api_openapi_write(&out, "1");
        bool fired = fault_disarm();
        ck_assert_int_eq(rc, fired ? E_NOMEM : OK);
        ck_assert_int_eq(out.len > 0, !fired);
        buf_fini(&out);
        if (!fired)
            break;
    }
}
END_TEST
#endif

int main(void)
{
    TCase *tcase = tcase_create("openapi");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, every_route_and_every_field_is_in_it);
    tcase_add_test(tcase, a_type_that_it_does_not_list_is_refused);
    tcase_add_test(tcase, answers_have_the_type_and_the_keys_that_it_names);
#if VALET_CHECKS
    tcase_add_test(tcase, a_document_that_finds_no_memory_is_none);
#endif
    return suite_run("openapi", tcase);
}
