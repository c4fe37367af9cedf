#include "http/peers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

enum {
    NETWORK_BYTES = 8 /* of IPv6 */
};

static const uint8_t g_mapped[12] = { [10] = 0xff, [11] = 0xff };

struct http_peer {
    struct http_peer *next; /* in its bucket */
    struct http_address address;
    size_t count;
};

static bool is_v4(const struct http_address *address)
{
    return memcmp(address->bytes, g_mapped, sizeof g_mapped) == 0;
}

struct http_address http_address_of(const struct sockaddr_storage *name)
{
    struct http_address address = { { 0 } };
    if (name->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, name, sizeof in6);
        memcpy(address.bytes, &in6.sin6_addr, sizeof address.bytes);
    } else if (name->ss_family == AF_INET) {
        struct sockaddr_in in4;
        memcpy(&in4, name, sizeof in4);
        memcpy(address.bytes, g_mapped, sizeof g_mapped);
        memcpy(address.bytes + sizeof g_mapped, &in4.sin_addr, 4);
    }
    return address;
}

bool http_address_is_loopback(const struct http_address *address)
{
    static const uint8_t v6[16] = { [15] = 1 };
    if (is_v4(address))
        return address->bytes[12] == 127;
    return memcmp(address->bytes, v6, sizeof v6) == 0;
}

void http_address_format(const struct http_address *address, char out[46])
{
    const uint8_t *b = address->bytes;
    if (is_v4(address))
        snprintf(out, 46, "%u.%u.%u.%u", b[12], b[13], b[14], b[15]);
    else if (!inet_ntop(AF_INET6, b, out, 46))
        out[0] = '\0';
}

/* The part of an address that stands for one client. */
static struct http_address client_of(const struct http_address *address)
{
    struct http_address client = *address;
    if (!is_v4(address))
        memset(client.bytes + NETWORK_BYTES, 0, sizeof client.bytes - NETWORK_BYTES);
    return client;
}

/*
 * FNV-1a. Clients may choose addresses that fall into one bucket; the walk is then as long
 * as connections_max, which is what the connections themselves would cost.
 */
static struct http_peer **bucket_of(struct http_peers *peers, const struct http_address *client)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < sizeof client->bytes; i++)
        hash = (hash ^ client->bytes[i]) * 16777619u;
    return &peers->buckets[(hash ^ hash >> 16) % HTTP_PEER_BUCKETS];
}

struct http_peer *http_peers_enter(struct http_peers *peers, const struct http_address *address)
{
    struct http_address client = client_of(address);
    struct http_peer **bucket = bucket_of(peers, &client);
    for (struct http_peer *peer = *bucket; peer; peer = peer->next) {
        if (memcmp(&peer->address, &client, sizeof client) == 0) {
            peer->count++;
            return peer;
        }
    }
    struct http_peer *peer = mem_calloc(MEM_HTTP, 1, sizeof *peer);
    if (!peer)
        return NULL;
    peer->address = client;
    peer->count = 1;
    peer->next = *bucket;
    *bucket = peer;
    return peer;
}

size_t http_peer_count(const struct http_peer *peer)
{
    return peer->count;
}

void http_peers_leave(struct http_peers *peers, struct http_peer *peer)
{
    if (!peer || --peer->count > 0)
        return;
    struct http_peer **at = bucket_of(peers, &peer->address);
    while (*at != peer) {
        ASSERT(*at);
        at = &(*at)->next;
    }
    *at = peer->next;
    mem_free(peer);
}
