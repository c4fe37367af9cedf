/* Counting the connections of each client address. */
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "http/peers.h"

static struct http_address address(const char *text)
{
    struct sockaddr_storage name = { .ss_family = AF_INET };
    struct sockaddr_in in4 = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    if (inet_pton(AF_INET, text, &in4.sin_addr) == 1) {
        memcpy(&name, &in4, sizeof in4);
    } else {
        ck_assert_int_eq(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
        memcpy(&name, &in6, sizeof in6);
    }
    return http_address_of(&name);
}

static struct http_peer *enter(struct http_peers *peers, const char *text)
{
    struct http_address a = address(text);
    struct http_peer *peer = http_peers_enter(peers, &a);
    ck_assert_ptr_nonnull(peer);
    return peer;
}

START_TEST(connections_are_counted_by_address)
{
    static struct http_peers peers;
    struct http_peer *a = enter(&peers, "192.0.2.1");
    ck_assert_ptr_eq(enter(&peers, "192.0.2.1"), a);
    ck_assert_ptr_eq(enter(&peers, "::ffff:192.0.2.1"), a);
    struct http_peer *b = enter(&peers, "192.0.2.2");
    ck_assert_uint_eq(http_peer_count(a), 3);
    ck_assert_uint_eq(http_peer_count(b), 1);
    http_peers_leave(&peers, a);
    ck_assert_uint_eq(http_peer_count(a), 2);
    http_peers_leave(&peers, a);
    http_peers_leave(&peers, a);
    http_peers_leave(&peers, b);
    http_peers_leave(&peers, NULL);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(addresses_of_one_ipv6_network_count_together)
{
    static struct http_peers peers;
    struct http_peer *a = enter(&peers, "2001:db8:0:1::1");
    ck_assert_ptr_eq(enter(&peers, "2001:db8:0:1:ffff::2"), a);
    struct http_peer *b = enter(&peers, "2001:db8:0:2::1");
    ck_assert_ptr_ne(b, a);
    ck_assert_uint_eq(http_peer_count(a), 2);
    http_peers_leave(&peers, a);
    http_peers_leave(&peers, b);
    http_peers_leave(&peers, a);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

/* More addresses than buckets, leaving in another order. */
START_TEST(table_holds_any_number_of_addresses)
{
    enum {
        COUNT = 5000
    };
    static struct http_peers peers;
    static struct http_peer *all[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.%u.%u", i / 256, i % 256);
        all[i] = enter(&peers, text);
        ck_assert_uint_eq(http_peer_count(all[i]), 1);
    }
    ck_assert_uint_eq(mem_live_blocks(), COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        http_peers_leave(&peers, all[i * 7 % COUNT]);
    ck_assert_uint_eq(mem_live_blocks(), 0);
}
END_TEST

START_TEST(loopback_is_known_in_each_form)
{
    static const char *const loopback[] = { "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1" };
    static const char *const other[] = { "128.0.0.1", "::2", "::", "::127.0.0.1", "2001:db8::1" };
    for (size_t i = 0; i < sizeof loopback / sizeof loopback[0]; i++) {
        struct http_address a = address(loopback[i]);
        ck_assert_msg(http_address_is_loopback(&a), "%s", loopback[i]);
    }
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        struct http_address a = address(other[i]);
        ck_assert_msg(!http_address_is_loopback(&a), "%s", other[i]);
    }
}
END_TEST

START_TEST(address_is_written_as_people_write_it)
{
    static const char *const texts[] = { "127.0.0.1", "255.255.255.255", "::1", "2001:db8::ff:1" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct http_address a = address(texts[i]);
        char out[46];
        http_address_format(&a, out);
        ck_assert_str_eq(out, texts[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http.peers");
    TCase *tc = tcase_create("peers");
    tcase_add_test(tc, connections_are_counted_by_address);
    tcase_add_test(tc, addresses_of_one_ipv6_network_count_together);
    tcase_add_test(tc, table_holds_any_number_of_addresses);
    tcase_add_test(tc, loopback_is_known_in_each_form);
    tcase_add_test(tc, address_is_written_as_people_write_it);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
