/* A server that takes every request and does nothing with it, so that a benchmark measures the sender.
 *
 * sink PORT LATENCY_MS: one thread, epoll, HTTP/1.1 with keep-alive. Bodies of /data/track are read and dropped; those
 * of other POSTs are kept until they are whole, so that the answer can say how many rows they had. GET /stats tells
 * what came in. Every answer waits LATENCY_MS from the moment its request was whole.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FDS = 4096, HEAD_BYTES = 16384, READ_BYTES = 1 << 18, REPLY_BYTES = 4096, EVENTS = 256 };

typedef struct {
    int open, in_body, keep, is_stats, generation;
    size_t head, need, body, room, rows;
    char header[HEAD_BYTES], path[512];
    char *kept;
} Peer;

typedef struct { double due; int fd, generation, bytes; char text[REPLY_BYTES]; } Reply;

static Peer *peers[MAX_FDS];
static Reply *queue;
static size_t first, count, capacity;
static double latency_s;
static unsigned long long requests, bytes, rows_seen;
static char incoming[READ_BYTES];

static const char SCHEMA[] =
    "{\"custom\":{\"plan\":{\"Type\":\"string\"},\"seats\":{\"Type\":\"integer\"},\"amount\":{\"Type\":\"float\"},"
    "\"active\":{\"Type\":\"boolean\"},\"renewed_at\":{\"Type\":\"time\"},\"note\":{\"Type\":\"string\"},"
    "\"started_on\":{\"Type\":\"time\"},\"region\":{\"Type\":\"string\"}},\"agent\":{}}";

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void drop(int fd) {
    Peer *p = peers[fd];
    if (!p) return;
    free(p->kept);
    memset(p, 0, offsetof(Peer, header));
    p->kept = NULL;
    p->room = 0;
    p->generation++;
    close(fd);
}

static void say(int fd, const char *text, int size) {
    while (size > 0) {
        ssize_t n = send(fd, text, size, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (n <= 0) { drop(fd); return; }
        text += n;
        size -= n;
    }
}

static void answer(int fd) {
    Peer *p = peers[fd];
    char body[2048];
    int size = 0;
    if (p->is_stats)
        size = snprintf(body, sizeof body, "{\"requests\":%llu,\"bytes\":%llu,\"rows\":%llu}", requests, bytes, rows_seen);
    else if (strstr(p->path, "/token/verify"))
        size = snprintf(body, sizeof body, "{\"valid\":true,\"writeAccess\":true}");
    else if (strstr(p->path, "/metadata/schema/"))
        size = snprintf(body, sizeof body, "%s", SCHEMA);
    else if (strstr(p->path, "/metadata/"))
        size = snprintf(body, sizeof body, "{\"total\":%zu,\"updated\":%zu,\"failed\":0}", p->rows, p->rows);
    Reply made;
    made.bytes = snprintf(made.text, sizeof made.text,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%.*s", size, size, body);
    if (latency_s <= 0 || p->is_stats) { say(fd, made.text, made.bytes); return; }
    made.due = now() + latency_s;
    made.fd = fd;
    made.generation = p->generation;
    if (count == capacity) {
        size_t bigger = capacity ? capacity * 2 : 256;
        Reply *grown = malloc(bigger * sizeof(Reply));
        for (size_t i = 0; i < count; i++) grown[i] = queue[(first + i) % capacity];
        free(queue);
        queue = grown;
        first = 0;
        capacity = bigger;
    }
    queue[(first + count++) % capacity] = made;
}

static void whole(int fd) {
    Peer *p = peers[fd];
    if (!p->is_stats) { requests++; bytes += p->body; }
    p->rows = 0;
    if (p->keep)
        for (char *at = p->kept, *end = p->kept + p->body; (at = memmem(at, end - at, "\"values\":", 9)); at += 9) p->rows++;
    rows_seen += p->rows;
    p->in_body = 0;
    p->head = 0;
    answer(fd);
}

static size_t take_head(int fd, const char *data, size_t size) {
    Peer *p = peers[fd];
    size_t had = p->head, room = HEAD_BYTES - 1 - had, take = size < room ? size : room;
    memcpy(p->header + had, data, take);
    p->header[had + take] = 0;
    char *end = strstr(p->header + (had > 3 ? had - 3 : 0), "\r\n\r\n");
    if (!end) { p->head += take; if (take == 0) drop(fd); return take; }
    size_t used = (end + 4 - p->header) - had;
    char *length = strcasestr(p->header, "\r\ncontent-length:");
    p->need = length ? strtoull(length + 17, NULL, 10) : 0;
    char *from = strchr(p->header, ' '), *to = from ? strchr(from + 1, ' ') : NULL;
    size_t chars = to ? (size_t)(to - from - 1) : 0;
    if (chars >= sizeof p->path) chars = sizeof p->path - 1;
    memcpy(p->path, from ? from + 1 : "", chars);
    p->path[chars] = 0;
    p->is_stats = strstr(p->path, "/stats") != NULL;
    p->keep = p->need > 0 && strstr(p->path, "/metadata/") != NULL;
    p->body = 0;
    p->in_body = 1;
    if (p->keep && p->need > p->room) { free(p->kept); p->kept = malloc(p->need); p->room = p->need; }
    if (p->need == 0) whole(fd);
    return used;
}

static void receive(int fd) {
    ssize_t n = recv(fd, incoming, READ_BYTES, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) { drop(fd); return; }
    const char *at = incoming;
    size_t left = n;
    while (left && peers[fd]->open) {
        Peer *p = peers[fd];
        size_t used;
        if (!p->in_body) {
            used = take_head(fd, at, left);
        } else {
            size_t missing = p->need - p->body;
            used = left < missing ? left : missing;
            if (p->keep) memcpy(p->kept + p->body, at, used);
            p->body += used;
            if (p->body == p->need) whole(fd);
        }
        at += used;
        left -= used;
    }
}

int main(int argc, char **argv) {
    int port = argc > 1 ? atoi(argv[1]) : 0, one = 1;
    latency_s = argc > 2 ? atof(argv[2]) / 1000 : 0;
    int server = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(server, (struct sockaddr *)&address, sizeof address) || listen(server, 1024)) { perror("sink"); return 1; }
    socklen_t size = sizeof address;
    getsockname(server, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = server}, got[EVENTS];
    epoll_ctl(poll, EPOLL_CTL_ADD, server, &event);
    for (;;) {
        int wait_ms = -1;
        if (count) {
            double left = queue[first].due - now();
            wait_ms = left <= 0 ? 0 : (int)(left * 1000) + 1;
        }
        int n = epoll_wait(poll, got, EVENTS, wait_ms);
        for (int i = 0; i < n; i++) {
            int fd = got[i].data.fd;
            if (fd != server) { receive(fd); continue; }
            int peer = accept(server, NULL, NULL);
            if (peer < 0) continue;
            if (peer >= MAX_FDS) { close(peer); continue; }
            setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            if (!peers[peer]) peers[peer] = calloc(1, sizeof(Peer));
            peers[peer]->open = 1;
            event.events = EPOLLIN;
            event.data.fd = peer;
            epoll_ctl(poll, EPOLL_CTL_ADD, peer, &event);
        }
        while (count && queue[first].due <= now()) {
            Reply *r = &queue[first];
            if (peers[r->fd]->open && peers[r->fd]->generation == r->generation) say(r->fd, r->text, r->bytes);
            first = (first + 1) % capacity;
            count--;
        }
    }
}
