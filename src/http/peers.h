#ifndef HTTP_PEERS_H
#define HTTP_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/socket.h>

/*
 * How many connections each client address has. One IPv4 address counts as one, and so do
 * the 2^64 addresses of an IPv6 network, which belong to one client.
 *
 * Threads: one, the loop's.
 */

/* IPv6; an IPv4 address is mapped (::ffff:a.b.c.d). */
struct http_address {
    uint8_t bytes[16];
};

struct http_address http_address_of(const struct sockaddr_storage *name);
bool http_address_is_loopback(const struct http_address *address);

/* [46] "127.0.0.1" or "::1". */
void http_address_format(const struct http_address *address, char out[46]);

enum {
    HTTP_PEER_BUCKETS = 1024
};

struct http_peer;

struct http_peers {
    struct http_peer *buckets[HTTP_PEER_BUCKETS];
};

/* Counts one more connection; NULL if memory is refused. Gives: http_peers_leave. */
struct http_peer *http_peers_enter(struct http_peers *peers, const struct http_address *address);

/* Connections of this peer, now. */
size_t http_peer_count(const struct http_peer *peer);

/* Counts one less; NULL is allowed. */
void http_peers_leave(struct http_peers *peers, struct http_peer *peer);

#endif
