/* Every name service function, asked by several threads at once: users, groups, shadow entries,
 * services, protocols, RPC numbers, mail aliases, netgroups, Ethernet addresses, network
 * interfaces, host and network tables. Each thread gets what the first one got.
 *
 * PARITY: switches=10 threads=9 */
#include "parity.h"

#include <aliases.h>
#include <grp.h>
#include <gshadow.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/ether.h>
#include <pwd.h>
#include <rpc/netdb.h>
#include <shadow.h>

enum { THREADS = 8, ROOM = 20000 };

/* Declared with a warning, and linked with another: asked for as an old program does. */
__asm__(".symver getpw_buffer, getpw@GLIBC_2.2.5");
int getpw_buffer(unsigned id, char* buffer);

struct text {
    char* at;
    size_t left;
};

__attribute__((format(printf, 2, 3))) static void add(struct text* text, const char* format, ...) {
    va_list list;
    va_start(list, format);
    int n = vsnprintf(text->at, text->left, format, list);
    va_end(list);
    CHECK(n >= 0 && (size_t)n < text->left);
    text->at += n;
    text->left -= (size_t)n;
}

#define NAME(entry, field) ((entry) != NULL ? (entry)->field : "none")

/* What answers by number or name, in the reentrant forms: safe in all threads at once. */
static void reentrant(struct text* t) {
    char room[4096];
    struct passwd user, *u = NULL;
    SAME(getpwnam_r("root", &user, room, sizeof room, &u), 0);
    add(t, "getpwnam_r %s %s\n", NAME(u, pw_name), NAME(u, pw_dir));
    SAME(getpwuid_r(0, &user, room, sizeof room, &u), 0);
    add(t, "getpwuid_r %s\n", NAME(u, pw_name));
    SAME(getpwnam_r("root", &user, room, 3, &u), ERANGE);
    SAME(getpwnam_r("nobody at all", &user, room, sizeof room, &u), 0);
    CHECK(u == NULL);
    struct group group, *g = NULL;
    SAME(getgrnam_r("root", &group, room, sizeof room, &g), 0);
    add(t, "getgrnam_r %s\n", NAME(g, gr_name));
    SAME(getgrgid_r(0, &group, room, sizeof room, &g), 0);
    add(t, "getgrgid_r %s\n", NAME(g, gr_name));
    gid_t groups[100];
    int count = 100;
    add(t, "getgrouplist %d", getgrouplist("root", 0, groups, &count));
    add(t, " %d, group_member %d\n", count, group_member(getgid()));
    struct spwd shadow, *s = NULL;
    int error = getspnam_r("root", &shadow, room, sizeof room, &s);
    add(t, "getspnam_r %d %s\n", error, NAME(s, sp_namp));
    struct sgrp secret, *sg = NULL;
    error = getsgnam_r("root", &secret, room, sizeof room, &sg);
    add(t, "getsgnam_r %d %s\n", error, NAME(sg, sg_namp));
    struct servent service, *v = NULL;
    SAME(getservbyname_r("http", "tcp", &service, room, sizeof room, &v), 0);
    add(t, "getservbyname_r %d\n", v != NULL ? ntohs((uint16_t)v->s_port) : 0);
    SAME(getservbyport_r(htons(22), "tcp", &service, room, sizeof room, &v), 0);
    add(t, "getservbyport_r %s\n", NAME(v, s_name));
    struct protoent protocol, *p = NULL;
    error = getprotobyname_r("tcp", &protocol, room, sizeof room, &p);
    add(t, "getprotobyname_r %d %s\n", error, NAME(p, p_name));
    error = getprotobynumber_r(17, &protocol, room, sizeof room, &p);
    add(t, "getprotobynumber_r %d %s\n", error, NAME(p, p_name));
    struct rpcent remote, *r = NULL;
    error = getrpcbyname_r("portmapper", &remote, room, sizeof room, &r);
    add(t, "getrpcbyname_r %d %s\n", error, NAME(r, r_name));
    error = getrpcbynumber_r(100000, &remote, room, sizeof room, &r);
    add(t, "getrpcbynumber_r %d %s\n", error, NAME(r, r_name));
    struct aliasent alias, *a = NULL;
    error = getaliasbyname_r("postmaster", &alias, room, sizeof room, &a);
    add(t, "getaliasbyname_r %d %s\n", error, NAME(a, alias_name));
    struct netent network, *n = NULL;
    int h_error = 0;
    getnetbyname_r("loopback", &network, room, sizeof room, &n, &h_error);
    add(t, "getnetbyname_r %s\n", NAME(n, n_name));
    getnetbyaddr_r(127 << 24, AF_INET, &network, room, sizeof room, &n, &h_error);
    add(t, "getnetbyaddr_r %s\n", NAME(n, n_name));
    add(t, "innetgr %d\n", innetgr("nogroup", "host", "user", "domain"));
    struct ether_addr ethernet = {{2, 0, 0, 0, 0, 1}};
    char host[256];
    add(t, "ether %d %d\n", ether_ntohost(host, &ethernet), ether_hostton("nohost", &ethernet));
    char line[1000] = "";
    add(t, "getpw %d %s\n", getpw_buffer(0, line), line);

    struct ifaddrs* list = NULL;
    SAME(getifaddrs(&list), 0);
    int addresses = 0, loopbacks = 0;
    for (struct ifaddrs* one = list; one != NULL; one = one->ifa_next) {
        addresses++;
        loopbacks += (one->ifa_flags & IFF_LOOPBACK) != 0 && one->ifa_addr != NULL &&
                     one->ifa_addr->sa_family == AF_INET;
    }
    freeifaddrs(list);
    CHECK(addresses > 0);
    struct if_nameindex* names = if_nameindex();
    CHECK(names != NULL);
    add(t, "getifaddrs %d, if_nameindex %s, %u\n", loopbacks, names[0].if_name,
        if_nametoindex(names[0].if_name));
    if_freenameindex(names);
}

static void* ask(void* argument) {
    struct text t = {(char*)calloc(1, ROOM), ROOM};
    char* begin = t.at;
    for (int i = 0; i < 3; i++) {
        t.at = begin;
        t.left = ROOM;
        reentrant(&t);
        sched_yield();
    }
    (void)argument;
    return begin;
}

/* The enumerations, which are one per process; a plain function next to its reentrant form. */
#define COUNT(title, set, get, end)               \
    do {                                          \
        int count_ = 0;                           \
        set;                                      \
        while (count_ < 10000 && (get)) count_++; \
        end;                                      \
        add(t, "%s %d\n", title, count_);         \
    } while (0)

static void enumerations(struct text* t) {
    char room[8192];
    struct passwd user, *u;
    struct group group, *g;
    struct spwd shadow, *s;
    struct sgrp secret, *sg;
    struct servent service, *v;
    struct protoent protocol, *p;
    struct rpcent remote, *r;
    struct aliasent alias, *a;
    struct netent network, *n;
    struct hostent host, *h;
    int error;
    char *one, *two, *three;
    COUNT("getpwent", setpwent(), getpwent(), endpwent());
    COUNT("getpwent_r", setpwent(), getpwent_r(&user, room, sizeof room, &u) == 0, endpwent());
    COUNT("getgrent", setgrent(), getgrent(), endgrent());
    COUNT("getgrent_r", setgrent(), getgrent_r(&group, room, sizeof room, &g) == 0, endgrent());
    COUNT("getspent", setspent(), getspent(), endspent());
    COUNT("getspent_r", setspent(), getspent_r(&shadow, room, sizeof room, &s) == 0, endspent());
    COUNT("getsgent", setsgent(), getsgent(), endsgent());
    COUNT("getsgent_r", setsgent(), getsgent_r(&secret, room, sizeof room, &sg) == 0, endsgent());
    COUNT("getservent", setservent(1), getservent(), endservent());
    COUNT("getservent_r", setservent(1), getservent_r(&service, room, sizeof room, &v) == 0,
          endservent());
    COUNT("getprotoent", setprotoent(1), getprotoent(), endprotoent());
    COUNT("getprotoent_r", setprotoent(1), getprotoent_r(&protocol, room, sizeof room, &p) == 0,
          endprotoent());
    COUNT("getrpcent", setrpcent(1), getrpcent(), endrpcent());
    COUNT("getrpcent_r", setrpcent(1), getrpcent_r(&remote, room, sizeof room, &r) == 0,
          endrpcent());
    COUNT("getaliasent", setaliasent(), getaliasent(), endaliasent());
    COUNT("getaliasent_r", setaliasent(), getaliasent_r(&alias, room, sizeof room, &a) == 0,
          endaliasent());
    COUNT("getnetent", setnetent(1), getnetent(), endnetent());
    COUNT("getnetent_r", setnetent(1), getnetent_r(&network, room, sizeof room, &n, &error) == 0,
          endnetent());
    COUNT("gethostent", sethostent(1), gethostent(), endhostent());
    COUNT("gethostent_r", sethostent(1), gethostent_r(&host, room, sizeof room, &h, &error) == 0,
          endhostent());
    COUNT("getnetgrent", setnetgrent("none"), getnetgrent(&one, &two, &three), endnetgrent());
    COUNT("getnetgrent_r", setnetgrent("none"),
          getnetgrent_r(&one, &two, &three, room, sizeof room), endnetgrent());
    add(t, "getpwnam %s\n", NAME(getpwnam("root"), pw_name));
    add(t, "getpwuid %s\n", NAME(getpwuid(0), pw_name));
    add(t, "getgrnam %s\n", NAME(getgrnam("root"), gr_name));
    add(t, "getgrgid %s\n", NAME(getgrgid(0), gr_name));
    add(t, "getspnam %s\n", NAME(getspnam("root"), sp_namp));
    add(t, "getsgnam %s\n", NAME(getsgnam("root"), sg_namp));
    add(t, "getservbyname %s\n", NAME(getservbyname("ssh", "tcp"), s_name));
    add(t, "getservbyport %s\n", NAME(getservbyport(htons(80), "tcp"), s_name));
    add(t, "getprotobyname %s\n", NAME(getprotobyname("udp"), p_name));
    add(t, "getprotobynumber %s\n", NAME(getprotobynumber(6), p_name));
    add(t, "getrpcbyname %s\n", NAME(getrpcbyname("nfs"), r_name));
    add(t, "getrpcbynumber %s\n", NAME(getrpcbynumber(100003), r_name));
    add(t, "getaliasbyname %s\n", NAME(getaliasbyname("root"), alias_name));
    add(t, "getnetbyname %s\n", NAME(getnetbyname("loopback"), n_name));
    add(t, "getnetbyaddr %s\n", NAME(getnetbyaddr(127 << 24, AF_INET), n_name));
    in_addr_t local = htonl(INADDR_LOOPBACK);
    add(t, "gethostbyaddr %s\n", NAME(gethostbyaddr(&local, sizeof local, AF_INET), h_name));
    add(t, "gethostbyname2 %s\n", NAME(gethostbyname2("localhost", AF_INET), h_name));
    errno = 0;
    int set = initgroups("root", 0);
    add(t, "initgroups %d %s\n", set, parity_errno_name(errno));
}

int main(void) {
    start_ticking();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = start(ask, NULL);
    char* first = NULL;
    for (int i = 0; i < THREADS; i++) {
        char* text = (char*)join(threads[i]);
        if (first == NULL) {
            first = text;
            printf("%s", first);
            continue;
        }
        SAME(strcmp(first, text), 0);
        free(text);
    }
    free(first);
    struct text t = {(char*)calloc(1, ROOM), ROOM};
    char* begin = t.at;
    enumerations(&t);
    say("%s", begin);
    free(begin);
    stop_ticking();
    return 0;
}
