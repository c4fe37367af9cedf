/* A Unix socket: its file, and what the handler knows of who comes over it. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/rig.h"

#define GET_PEER "GET /peer HTTP/1.1\r\nHost: a\r\n\r\n"

static char g_folder[32];
static char g_path[64];

static void setup(void)
{
    snprintf(g_folder, sizeof g_folder, "/tmp/valet_unix_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(g_folder));
    snprintf(g_path, sizeof g_path, "%s/socket", g_folder);
}

static void teardown(void)
{
    unlink(g_path);
    rmdir(g_folder);
}

struct listening {
    const char *path;
    enum base_err rc;
    struct base_err_info info;
};

static void listen_now(void *arg)
{
    struct listening *l = arg;
    l->rc = http_server_listen_unix(rig_server(), l->path, &l->info);
}

static struct listening listen_on(const char *path)
{
    struct listening l = { .path = path };
    rig_call(listen_now, &l);
    return l;
}

static void drain(void *arg)
{
    (void)arg;
    http_server_drain(rig_server());
}

static void expect_peer(struct client *c, const char *expected)
{
    client_send_text(c, GET_PEER);
    struct reply *r = client_reply(c, false);
    ck_assert_int_eq(r->status, 200);
    ck_assert_str_eq(r->body, expected);
}

/* A bound socket at g_path, listening or not. */
static int bind_there(bool is_listening)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    snprintf(name.sun_path, sizeof name.sun_path, "%s", g_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    if (is_listening)
        ck_assert_int_eq(listen(fd, 1), 0);
    return fd;
}

static bool exists(void)
{
    struct stat st;
    return lstat(g_path, &st) == 0;
}

START_TEST(request_over_a_unix_socket_is_known_as_such)
{
    rig_start(NULL);
    ck_assert_int_eq(listen_on(g_path).rc, OK);
    struct client local = client_open_unix(g_path);
    struct client tcp = client_open();
    expect_peer(&local, "unix 1");
    expect_peer(&tcp, "127.0.0.1 0");
    expect_peer(&local, "unix 1");
    client_close(&local);
    client_close(&tcp);
    rig_stop();
}
END_TEST

START_TEST(unix_socket_stays_plain_beside_tls)
{
    setenv("RIG_TLS", "1", 1);
    rig_start(NULL);
    ck_assert_int_eq(listen_on(g_path).rc, OK);
    struct client local = client_open_unix(g_path);
    struct client tcp = client_open();
    expect_peer(&local, "unix 1");
    expect_peer(&tcp, "127.0.0.1 0");
    client_close(&local);
    client_close(&tcp);
    rig_stop();
}
END_TEST

START_TEST(socket_file_is_for_owner_and_group)
{
    rig_start(NULL);
    umask(0);
    ck_assert_int_eq(listen_on(g_path).rc, OK);
    struct stat st;
    ck_assert_int_eq(lstat(g_path, &st), 0);
    ck_assert(S_ISSOCK(st.st_mode));
    ck_assert_int_eq(st.st_mode & 07777, 0660);
    rig_stop();
}
END_TEST

START_TEST(socket_file_goes_with_the_server)
{
    rig_start(NULL);
    ck_assert_int_eq(listen_on(g_path).rc, OK);
    ck_assert(exists());
    rig_call(drain, NULL);
    ck_assert(!exists());
    rig_stop();
}
END_TEST

START_TEST(file_of_a_successor_is_left_alone)
{
    rig_start(NULL);
    ck_assert_int_eq(listen_on(g_path).rc, OK);
    unlink(g_path);
    int fd = bind_there(true);
    rig_stop();
    ck_assert(exists());
    close(fd);
}
END_TEST

START_TEST(file_of_a_dead_server_is_replaced)
{
    close(bind_there(true));
    ck_assert(exists());
    rig_start(NULL);
    ck_assert_int_eq(listen_on(g_path).rc, OK);
    struct client c = client_open_unix(g_path);
    expect_peer(&c, "unix 1");
    client_close(&c);
    rig_stop();
}
END_TEST

START_TEST(live_server_is_not_disturbed)
{
    int fd = bind_there(true);
    rig_start(NULL);
    struct listening l = listen_on(g_path);
    ck_assert_int_eq(l.rc, E_EXISTS);
    ck_assert_ptr_nonnull(strstr(l.info.message, "another server"));
    rig_stop();
    ck_assert(exists());
    struct client c = client_open_unix(g_path);
    client_close(&c);
    close(fd);
}
END_TEST

START_TEST(other_file_is_not_replaced)
{
    int fd = open(g_path, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    rig_start(NULL);
    struct listening l = listen_on(g_path);
    ck_assert_int_eq(l.rc, E_EXISTS);
    ck_assert_ptr_nonnull(strstr(l.info.message, "no socket"));
    rig_stop();
    ck_assert(exists());
}
END_TEST

START_TEST(path_that_cannot_be_is_an_error)
{
    char longest[200];
    memset(longest, 'x', sizeof longest);
    longest[0] = '/';
    longest[108] = '\0';
    rig_start(NULL);
    ck_assert_int_eq(listen_on(longest).rc, E_INVALID);
    ck_assert_int_eq(listen_on("").rc, E_INVALID);
    struct listening l = listen_on("/nowhere/socket");
    ck_assert_int_eq(l.rc, E_IO);
    ck_assert_int_eq(l.info.sys_errno, ENOENT);
    rig_stop();
}
END_TEST

START_TEST(client_that_leaves_a_unix_socket_is_gone)
{
    rig_start(NULL);
    ck_assert_int_eq(listen_on(g_path).rc, OK);
    struct client c = client_open_unix(g_path);
    client_send_text(&c, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_wait_for(held, 1);
    client_close(&c);
    rig_wait_for(gone, 1);
    c = client_open_unix(g_path);
    client_send_text(&c, "GET /flood?1000000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    ck_assert_int_eq(client_reply(&c, true)->status, 200);
    client_close(&c);
    rig_wait_for(gone, 2);
    rig_stop();
}
END_TEST

START_TEST(silent_reader_of_a_unix_socket_is_gone)
{
    struct http_options o;
    http_options_init(&o);
    o.write_timeout_ms = 200;
    rig_start(&o);
    ck_assert_int_eq(listen_on(g_path).rc, OK);
    struct client c = client_open_unix(g_path);
    client_send_text(&c, "GET /flood?1000000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    ck_assert_int_eq(rig_wait_for(gone, 1).slow, 1);
    client_close(&c);
    rig_stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http.unix");
    TCase *tc = tcase_create("unix");
    tcase_set_timeout(tc, 100);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, request_over_a_unix_socket_is_known_as_such);
    tcase_add_test(tc, unix_socket_stays_plain_beside_tls);
    tcase_add_test(tc, socket_file_is_for_owner_and_group);
    tcase_add_test(tc, socket_file_goes_with_the_server);
    tcase_add_test(tc, file_of_a_successor_is_left_alone);
    tcase_add_test(tc, file_of_a_dead_server_is_replaced);
    tcase_add_test(tc, live_server_is_not_disturbed);
    tcase_add_test(tc, other_file_is_not_replaced);
    tcase_add_test(tc, path_that_cannot_be_is_an_error);
    tcase_add_test(tc, client_that_leaves_a_unix_socket_is_gone);
    tcase_add_test(tc, silent_reader_of_a_unix_socket_is_gone);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
