#include "client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "request.h"

enum {
    FAILED_PAUSE_MS = 100 /* of a client whose connection failed */
};

static const uint64_t NS_PER_MS = 1000000;
static const uint64_t NS_PER_S = 1000000000;

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t client_clock_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

bool client_init(struct client *c, const struct client_common *common)
{
    c->fd = -1;
    c->request = malloc(common->request_max);
    return c->request != NULL;
}

static void disconnect(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

void client_fini(struct client *c)
{
    disconnect(c);
    free(c->request);
}

/* ---- the end of a request ---- */

static uint64_t since(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

static void count_refusal(const struct client *c, const struct client_common *common)
{
    struct load_stats *s = common->stats;
    load_stats_code(s, c->answer.status, c->code);
    load_stats_retry(s, c->answer.retry_ms);
    if (!c->is_measured)
        return;
    histogram_add(&s->refusal, since(c->sent_ns, c->first_byte_ns));
    if (common->options->rate > 0)
        histogram_add(&s->refusal_due, since(c->due_ns, c->first_byte_ns));
}

static void count_done(const struct client *c, const struct client_common *common)
{
    struct load_stats *s = common->stats;
    if (!c->is_measured)
        return;
    histogram_add(&s->whole, since(c->start_ns, c->arrival_ns));
    if (common->options->rate > 0)
        histogram_add(&s->whole_due, since(c->due_ns, c->arrival_ns));
}

/* Tokens that had no event of their own are told by `usage` only. */
static void count_tokens(const struct client *c, struct load_stats *s)
{
    uint64_t tokens = c->token_events;
    if (c->completion_tokens > 0 && (uint64_t)c->completion_tokens > tokens) {
        uint64_t more = (uint64_t)c->completion_tokens - tokens;
        tokens += more;
        if (c->arrival_ns >= s->steady_ns && s->sending_end_ns == 0)
            s->steady_tokens += more;
    }
    s->output_tokens += tokens;
    if (c->prompt_tokens > 0)
        s->prompt_tokens += (uint64_t)c->prompt_tokens;
}

static void pause_after(struct client *c, const struct client_common *common,
                        enum load_outcome outcome)
{
    bool is_closed_loop = common->options->rate <= 0;
    if (outcome == LOAD_UNANSWERED || outcome == LOAD_UNREACHABLE)
        c->wake_ns = client_clock_ns() + FAILED_PAUSE_MS * NS_PER_MS;
    else if (outcome == LOAD_REFUSED && is_closed_loop && !common->options->waits_not &&
             c->answer.retry_ms > 0)
        c->wake_ns = c->arrival_ns + (uint64_t)c->answer.retry_ms * NS_PER_MS;
}

static void finish(struct client *c, struct client_common *common, enum load_outcome outcome)
{
    struct load_stats *s = common->stats;
    s->outcomes[outcome]++;
    s->end_ns = client_clock_ns();
    common->in_flight--;
    c->state = CLIENT_IDLE;
    c->wake_ns = 0;
    count_tokens(c, s);
    if (outcome == LOAD_REFUSED)
        count_refusal(c, common);
    else if (outcome == LOAD_ERROR_EVENT)
        load_stats_code(s, c->answer.status, c->code);
    else if (outcome == LOAD_DONE)
        count_done(c, common);
    pause_after(c, common, outcome);
    if (outcome > LOAD_ERROR_EVENT || c->answer.closes)
        disconnect(c);
}

/* What a whole answer was. */
static enum load_outcome outcome_of(const struct client *c)
{
    if (c->is_bad || c->sse.too_long > 0)
        return LOAD_BAD;
    if (c->answer.status >= 400)
        return LOAD_REFUSED;
    if (c->is_error)
        return LOAD_ERROR_EVENT;
    return c->answer.is_event_stream && !c->is_done ? LOAD_CUT : LOAD_DONE;
}

/* ---- reading ---- */

static void take_token(struct client *c, struct client_common *common)
{
    struct load_stats *s = common->stats;
    uint64_t now = c->arrival_ns;
    if (now >= s->steady_ns && s->sending_end_ns == 0)
        s->steady_tokens++;
    if (c->is_measured && c->token_events > 0) {
        histogram_add(&s->between_tokens, since(c->last_token_ns, now));
    } else if (c->is_measured) {
        histogram_add(&s->first_token, since(c->start_ns, now));
        if (common->options->rate > 0)
            histogram_add(&s->first_token_due, since(c->due_ns, now));
    }
    c->token_events++;
    c->last_token_ns = now;
}

static void take_usage(struct client *c, const struct event *e)
{
    if (e->prompt_tokens >= 0)
        c->prompt_tokens = e->prompt_tokens;
    if (e->completion_tokens >= 0)
        c->completion_tokens = e->completion_tokens;
}

static void take_error(struct client *c, const struct event *e)
{
    c->is_error = true;
    memcpy(c->code, e->code, sizeof c->code);
}

struct reading {
    struct client *client;
    struct client_common *common;
};

static void take_event(void *arg, const char *data, size_t len)
{
    struct reading *r = arg;
    struct event e;
    if (len == 6 && memcmp(data, "[DONE]", 6) == 0) {
        r->client->is_done = true;
        return;
    }
    event_parse(&e, data, len);
    if (!e.is_json)
        r->client->is_bad = true;
    if (e.is_error)
        take_error(r->client, &e);
    if (e.has_text)
        take_token(r->client, r->common);
    take_usage(r->client, &e);
}

static void take_body(void *arg, const char *data, size_t len)
{
    struct reading *r = arg;
    struct client *c = r->client;
    if (c->answer.is_event_stream) {
        sse_feed(&c->sse, data, len, take_event, r);
        return;
    }
    size_t room = sizeof c->body - c->body_len;
    if (len > room)
        c->is_bad = true;
    memcpy(c->body + c->body_len, data, len < room ? len : room);
    c->body_len += len < room ? len : room;
}

/* The body of an answer that was no stream. */
static void read_whole_body(struct client *c)
{
    struct event e;
    if (c->answer.is_event_stream)
        return;
    event_parse(&e, c->body, c->body_len);
    if (!e.is_json && c->answer.status < 400)
        c->is_bad = true;
    if (e.is_error)
        take_error(c, &e);
    take_usage(c, &e);
}

static void take_bytes(struct client *c, struct client_common *common, size_t len)
{
    struct reading reading = { c, common };
    if (c->first_byte_ns == 0)
        c->first_byte_ns = c->arrival_ns;
    size_t used = answer_feed(&c->answer, common->receive, len, take_body, &reading);
    if (c->answer.state == ANSWER_BAD) {
        finish(c, common, LOAD_BAD);
    } else if (c->answer.state == ANSWER_DONE) {
        c->answer.closes |= used < len;
        read_whole_body(c);
        finish(c, common, outcome_of(c));
    }
}

static void take_end(struct client *c, struct client_common *common)
{
    if (c->first_byte_ns == 0) {
        finish(c, common, LOAD_UNANSWERED);
    } else if (answer_end(&c->answer)) {
        read_whole_body(c);
        finish(c, common, outcome_of(c));
    } else {
        finish(c, common, LOAD_CUT);
    }
    disconnect(c);
}

/*
 * When the bytes came to this machine's side of the connection, by the system's own stamp: a
 * client that waits for a CPU must not make the server look slow.
 */
static uint64_t arrival_of(struct msghdr *message, struct client_common *common)
{
    uint64_t now = client_clock_ns();
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    if (!control || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_TIMESTAMPNS)
        return now;
    struct timespec stamp;
    memcpy(&stamp, CMSG_DATA(control), sizeof stamp);
    uint64_t arrival =
        (uint64_t)stamp.tv_sec * NS_PER_S + (uint64_t)stamp.tv_nsec - common->realtime_offset_ns;
    if (arrival > now || now - arrival > NS_PER_S)
        return now;
    histogram_add(&common->stats->late, now - arrival);
    return arrival;
}

/* Reads once. False: nothing more is there, or the connection is gone. */
static bool read_some(struct client *c, struct client_common *common)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct iovec part = { common->receive, sizeof common->receive };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    ssize_t n = recvmsg(c->fd, &message, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (n > 0 && c->state != CLIENT_IDLE) {
        c->arrival_ns = arrival_of(&message, common);
        take_bytes(c, common, (size_t)n);
        return c->fd >= 0;
    }
    if (c->state != CLIENT_IDLE) {
        c->arrival_ns = client_clock_ns();
        take_end(c, common);
    }
    disconnect(c);
    return false;
}

/* ---- sending ---- */

static void send_rest(struct client *c)
{
    while (c->request_sent < c->request_len) {
        c->sent_ns = client_clock_ns();
        ssize_t n = send(c->fd, c->request + c->request_sent, c->request_len - c->request_sent,
                         MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            /* The server may have answered and gone; what it said is read next. */
            c->state = CLIENT_READING;
            return;
        }
        c->request_sent += (size_t)n;
    }
    c->state = CLIENT_READING;
}

static void begin(struct client *c, struct client_common *common, uint64_t number)
{
    c->request_len =
        request_write(c->request, common->request_max, common->options, number, common->prompt);
    c->request_sent = 0;
    c->arrival_ns = c->first_byte_ns = c->last_token_ns = 0;
    c->token_events = 0;
    c->prompt_tokens = c->completion_tokens = -1;
    c->is_done = c->is_error = c->is_bad = false;
    c->code[0] = '\0';
    c->body_len = 0;
    answer_start(&c->answer);
    sse_start(&c->sse);
    common->in_flight++;
    common->stats->sent++;
}

static bool connect_to_server(struct client *c, struct client_common *common)
{
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)common->options->port),
                                         .sin_addr = { htonl(INADDR_LOOPBACK) } };
    const int on = 1;
    struct epoll_event interest = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data = { .ptr = c } };
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return false;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(c->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    if (epoll_ctl(common->epoll, EPOLL_CTL_ADD, c->fd, &interest) != 0)
        return false;
    return connect(c->fd, (const struct sockaddr *)&address, sizeof address) == 0 ||
           errno == EINPROGRESS;
}

void client_start(struct client *c, struct client_common *common, uint64_t number, uint64_t due_ns,
                  uint64_t now_ns)
{
    begin(c, common, number);
    c->due_ns = due_ns;
    c->start_ns = now_ns;
    c->is_measured = due_ns >= common->stats->steady_ns;
    if (c->fd >= 0) {
        c->state = CLIENT_SENDING;
        send_rest(c);
    } else if (connect_to_server(c, common)) {
        c->state = CLIENT_CONNECTING;
    } else {
        finish(c, common, LOAD_UNREACHABLE);
    }
}

static bool is_connected(const struct client *c)
{
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;
    return getpeername(c->fd, (struct sockaddr *)&peer, &len) == 0;
}

static bool has_failed(const struct client *c)
{
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0;
}

void client_ready(struct client *c, struct client_common *common)
{
    if (c->state == CLIENT_CONNECTING) {
        if (has_failed(c)) {
            finish(c, common, LOAD_UNREACHABLE);
            return;
        }
        if (!is_connected(c))
            return;
        c->state = CLIENT_SENDING;
    }
    if (c->state == CLIENT_SENDING)
        send_rest(c);
    while (c->fd >= 0 && read_some(c, common))
        ;
}

void client_give_up(struct client *c, struct client_common *common)
{
    if (c->state == CLIENT_IDLE)
        return;
    c->arrival_ns = client_clock_ns();
    finish(c, common, LOAD_UNFINISHED);
}
