/* A name server for the DNS programs of this folder: two threads of the program itself, one for
 * UDP and one for TCP, on a free port of the loopback. glibc's resolver is pointed at it through
 * _res (or a res_state of one's own), so neither root nor a file is needed; and since the server is
 * a thread of the asking process, a resolver that stopped the process would never be answered.
 *
 *   hostN.test   A 10.0.(N/256).(N%256), no AAAA       slowN.test   the same, after a few ticks
 *   bigN.test    the same, by TCP only                 lostN.test   the first question is dropped
 *   muteN.test   never answered                     oddN.test    an answer that cannot be read
 *   10.0.a.b     PTR hostN.test                        all others   NXDOMAIN
 */
#ifndef DNS_SERVER_H
#define DNS_SERVER_H

#include "parity.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>

static int dns_udp, dns_tcp;
static long dns_asked, dns_lost[256];

/* The question's name as text; returns where its type stands, 0 if it is none. */
static inline size_t dns_name(const unsigned char* message, size_t size, char* name) {
    size_t at = 12, out = 0;
    while (at < size && message[at] != 0) {
        size_t length = message[at++];
        if (length > 63 || at + length >= size || out + length > 200) return 0;
        memcpy(name + out, message + at, length);
        out += length;
        at += length;
        name[out++] = '.';
    }
    name[out] = 0;
    return at + 5 <= size ? at + 1 : 0;
}

/* Turns the question into its answer, in place; returns its length, 0 for none at all. */
static inline size_t dns_answer(unsigned char* message, size_t size, int by_tcp) {
    char name[256], kind[16] = "", domain[16] = "";
    int number = 0, a = 0, b = 0;
    size_t at = dns_name(message, size, name);
    if (at == 0) return 0;
    add_to(&dns_asked, 1);
    int type = message[at] * 256 + message[at + 1];
    size_t end = at + 4;
    message[2] = (unsigned char)(0x84 | (message[2] & 1)); /* an answer, with authority */
    message[3] = 0x80;
    memset(message + 6, 0, 6);
    if (sscanf(name, "%d.%d.0.10.in-addr.%15s", &b, &a, domain) == 3 && type == ns_t_ptr) {
        number = a * 256 + b;
        strcpy(kind, "host");
    } else if (sscanf(name, "%15[a-z]%d.%15s", kind, &number, domain) != 3 ||
               strcmp(domain, "test.") != 0) {
        message[3] |= 3; /* no such name */
        return end;
    }
    if (strcmp(kind, "big") == 0 && !by_tcp) {
        message[2] |= 2; /* truncated: ask by TCP */
        return end;
    }
    if (strcmp(kind, "lost") == 0 && add_to(&dns_lost[number & 255], 1) <= 1) return 0;
    if (strcmp(kind, "mute") == 0) return 0;
    if (strcmp(kind, "odd") == 0) return memset(message + 12, 0xff, 8), 20;
    if (strcmp(kind, "slow") == 0) wait_ticks(5);
    if (type != ns_t_a && type != ns_t_ptr) return end; /* exists, but not of this type */
    message[7] = 1;
    unsigned char head[12] = {0xc0, 12, 0, (unsigned char)type, 0, 1, 0, 0, 0, 60, 0, 4};
    unsigned char data[32] = {10, 0, (unsigned char)(number / 256), (unsigned char)(number % 256)};
    if (type == ns_t_ptr) {
        char host[16];
        int length = snprintf(host, sizeof host, "host%d", number);
        data[0] = (unsigned char)length;
        memcpy(data + 1, host, (size_t)length);
        memcpy(data + 1 + length, "\4test", 6);
        head[11] = (unsigned char)(length + 7);
    }
    memcpy(message + end, head, 12);
    memcpy(message + end + 12, data, head[11]);
    return end + 12 + head[11];
}

static inline void* dns_serve_udp(void* argument) {
    unsigned char message[1024];
    struct sockaddr_in from;
    (void)argument;
    for (;;) {
        socklen_t length = sizeof from;
        ssize_t size = recvfrom(dns_udp, message, 512, 0, (struct sockaddr*)&from, &length);
        if (size <= 0) return NULL; /* an empty message: stop */
        size_t back = dns_answer(message, (size_t)size, 0);
        if (back > 0) sendto(dns_udp, message, back, 0, (struct sockaddr*)&from, length);
    }
}

static inline void* dns_serve_tcp(void* argument) {
    unsigned char message[1024], length[2];
    (void)argument;
    for (int fd; (fd = accept(dns_tcp, NULL, NULL)) >= 0; close(fd))
        while (read_all(fd, length, 2) == 2) {
            size_t size = (size_t)length[0] * 256 + length[1];
            if (size > 512 || read_all(fd, message, size) != size) break;
            size_t back = dns_answer(message, size, 1);
            length[0] = (unsigned char)(back / 256);
            length[1] = (unsigned char)(back % 256);
            if (send(fd, length, 2, MSG_NOSIGNAL) != 2) break;
            if (send(fd, message, back, MSG_NOSIGNAL) != (ssize_t)back) break;
        }
    return NULL;
}

static pthread_t dns_threads[2] __attribute__((unused));

static inline void start_dns(void) {
    for (int tries = 0;; tries++) { /* one free port for both */
        CHECK(tries < 100);
        dns_udp = inet_socket(SOCK_DGRAM);
        struct sockaddr_in address = loopback(port_of(dns_udp));
        dns_tcp = socket(AF_INET, SOCK_STREAM, 0);
        if (bind(dns_tcp, (struct sockaddr*)&address, sizeof address) == 0) break;
        close(dns_tcp);
        close(dns_udp);
    }
    SAME(listen(dns_tcp, 64), 0);
    dns_threads[0] = start(dns_serve_udp, NULL);
    dns_threads[1] = start(dns_serve_tcp, NULL);
}

static inline void stop_dns(void) {
    struct sockaddr_in address = loopback(port_of(dns_udp));
    SAME(sendto(dns_udp, "", 0, 0, (struct sockaddr*)&address, sizeof address), 0);
    shutdown(dns_tcp, SHUT_RDWR);
    for (int i = 0; i < 2; i++) join(dns_threads[i]);
    close(dns_udp);
    close(dns_tcp);
}

/* Makes this resolver state ask our server. */
static inline void use_dns(res_state state) {
    state->nscount = 1;
    state->nsaddr_list[0] = loopback(port_of(dns_udp));
    state->retrans = 1;
    state->retry = 3;
    state->ndots = 1;
    state->dnsrch[0] = NULL;
    state->options &= ~(unsigned long)(RES_DNSRCH | RES_DEFNAMES);
}

#endif
