/* A textbook chat server, FILE streams on the sockets, one thread per guest; and textbook chatters:
 * each has one thread in fgets(stdin) (here a pipe, which the test's main thread types into), one
 * in recv and one in sleep. Nobody stops anybody: whoever types is heard by all while each of the
 * other threads waits in its own call.
 *
 * PARITY: switches=100 threads=18 */
#include "parity.h"

enum { GUESTS = 4, SAYINGS = 5 };

static int port;
static FILE* guests[GUESTS];
static pthread_mutex_t room = PTHREAD_MUTEX_INITIALIZER;
static long heard[GUESTS], present, slept;
static int keyboards[GUESTS][2];

/* ---- the server ---- */

static void tell_all(const char* who, const char* text) {
    pthread_mutex_lock(&room);
    for (int i = 0; i < GUESTS; i++)
        if (guests[i] != NULL) {
            fprintf(guests[i], "%s: %s", who, text);
            fflush(guests[i]);
        }
    pthread_mutex_unlock(&room);
}

static void* serve_guest(void* argument) {
    int fd = (int)(intptr_t)argument, seat = -1;
    FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
    char name[32], line[128];
    CHECK(fgets(name, sizeof name, in) != NULL);
    name[strcspn(name, "\n")] = 0;
    pthread_mutex_lock(&room);
    for (int i = 0; i < GUESTS && seat < 0; i++)
        if (guests[i] == NULL) guests[seat = i] = out;
    pthread_mutex_unlock(&room);
    CHECK(seat >= 0);
    add_to(&present, 1);
    while (fgets(line, sizeof line, in) != NULL) tell_all(name, line);
    pthread_mutex_lock(&room);
    guests[seat] = NULL;
    fclose(out);
    pthread_mutex_unlock(&room);
    fclose(in);
    return NULL;
}

static void* open_house(void* argument) {
    int listener = (int)(intptr_t)argument;
    pthread_t threads[GUESTS];
    for (int i = 0; i < GUESTS; i++) {
        int fd = accept(listener, NULL, NULL);
        CHECK(fd >= 0);
        threads[i] = start(serve_guest, (void*)(intptr_t)fd);
    }
    for (int i = 0; i < GUESTS; i++) join(threads[i]);
    return NULL;
}

/* ---- a chatter ---- */

struct chatter {
    int number, fd;
    FILE *keyboard, *out;
};

static void* listen_to_room(void* argument) {
    struct chatter* me = (struct chatter*)argument;
    char data[256];
    for (ssize_t n; (n = recv(me->fd, data, sizeof data, 0)) > 0;)
        for (ssize_t i = 0; i < n; i++)
            if (data[i] == '\n') add_to(&heard[me->number], 1);
    return NULL;
}

static void* now_and_then(void* argument) {
    (void)argument;
    sleep(1);
    add_to(&slept, 1);
    return NULL;
}

static void* chat(void* argument) {
    struct chatter me = {(int)(intptr_t)argument, tcp_connect(port), NULL, NULL};
    me.keyboard = fdopen(keyboards[me.number][0], "r");
    me.out = fdopen(dup(me.fd), "w");
    fprintf(me.out, "guest%d\n", me.number);
    fflush(me.out);
    pthread_t listener = start(listen_to_room, &me), sleeper = start(now_and_then, NULL);
    char line[100];
    while (fgets(line, sizeof line, me.keyboard) != NULL) {
        fputs(line, me.out);
        fflush(me.out);
    }
    SAME(shutdown(me.fd, SHUT_WR), 0);
    join(listener);
    join(sleeper);
    fclose(me.keyboard);
    fclose(me.out);
    close(me.fd);
    return NULL;
}

int main(void) {
    start_ticking();
    int listener = tcp_listen(GUESTS);
    port = port_of(listener);
    pthread_t house = start(open_house, (void*)(intptr_t)listener), chatters[GUESTS];
    for (int i = 0; i < GUESTS; i++) {
        SAME(pipe(keyboards[i]), 0);
        chatters[i] = start(chat, (void*)(intptr_t)i);
    }
    wait_for(&present, GUESTS);
    for (int i = 0; i < SAYINGS; i++)
        for (int who = 0; who < GUESTS; who++) {
            char line[64];
            int length = snprintf(line, sizeof line, "saying %d\n", i);
            write_all(keyboards[who][1], line, (size_t)length);
            for (int whom = 0; whom < GUESTS; whom++)
                wait_for(&heard[whom], i * GUESTS + who + 1); /* before anyone types on */
        }
    for (int i = 0; i < GUESTS; i++) SAME(close(keyboards[i][1]), 0);
    for (int i = 0; i < GUESTS; i++) join(chatters[i]);
    join(house);
    for (int i = 0; i < GUESTS; i++) say("guest %d heard %ld sayings", i, heard[i]);
    SAME(slept, GUESTS);
    stop_ticking();
    return 0;
}
