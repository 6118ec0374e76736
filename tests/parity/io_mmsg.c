/* recvmmsg and sendmmsg: several messages in one call; recvmmsg waits for all of them, for one of
 * them (MSG_WAITFORONE), for a time which is looked at after each message only, or not at all.
 *
 * PARITY: switches=10 threads=3 */
#include "parity.h"

enum { MESSAGES = 6 };

static int pair[2];

struct batch {
    struct mmsghdr headers[MESSAGES];
    struct iovec pieces[MESSAGES];
    char data[MESSAGES][32];
};

static void prepare(struct batch* batch, size_t size) {
    memset(batch, 0, sizeof *batch);
    for (int i = 0; i < MESSAGES; i++) {
        batch->pieces[i].iov_base = batch->data[i];
        batch->pieces[i].iov_len = size;
        batch->headers[i].msg_hdr.msg_iov = &batch->pieces[i];
        batch->headers[i].msg_hdr.msg_iovlen = 1;
    }
}

enum { MANY = 40 };

static void count_it(int signal) { (void)signal; }

/* Returns how many went. */
static void* send_many(void* unused) {
    (void)unused;
    static struct mmsghdr headers[MANY];
    struct iovec piece = {"letter", 6};
    for (int i = 0; i < MANY; i++) {
        headers[i].msg_hdr.msg_iov = &piece;
        headers[i].msg_hdr.msg_iovlen = 1;
    }
    return (void*)(intptr_t)sendmmsg(pair[1], headers, MANY, 0);
}

static void* send_one_by_one(void* argument) {
    for (int i = 0; i < (int)(intptr_t)argument; i++) {
        wait_ticks(3);
        char text[32];
        int length = snprintf(text, sizeof text, "message %*d", i + 1, i);
        SAME(send(pair[1], text, (size_t)length, 0), length);
    }
    return NULL;
}

int main(void) {
    start_ticking();
    SAME(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    struct batch batch;

    prepare(&batch, 32);
    pthread_t thread = start(send_one_by_one, (void*)MESSAGES);
    SAME(recvmmsg(pair[0], batch.headers, MESSAGES, 0, NULL), MESSAGES);
    join(thread);
    for (int i = 0; i < MESSAGES; i++)
        say("%u bytes: %.*s", batch.headers[i].msg_len, (int)batch.headers[i].msg_len,
            batch.data[i]);

    prepare(&batch, 9);
    thread = start(send_one_by_one, (void*)1);
    SAME(recvmmsg(pair[0], batch.headers, MESSAGES, MSG_WAITFORONE, NULL), 1);
    join(thread);
    SAME(batch.headers[0].msg_len, 9);
    SAME(batch.headers[0].msg_hdr.msg_flags, 0);
    FAILS(recvmmsg(pair[0], batch.headers, MESSAGES, MSG_DONTWAIT, NULL), EAGAIN);
    say("MSG_WAITFORONE, MSG_DONTWAIT");

    prepare(&batch, 5);
    for (int i = 0; i < MESSAGES; i++) memcpy(batch.data[i], "abcde", 5);
    SAME(sendmmsg(pair[1], batch.headers, MESSAGES, 0), MESSAGES);
    for (int i = 0; i < MESSAGES; i++) SAME(batch.headers[i].msg_len, 5);
    prepare(&batch, 3);
    SAME(recvmmsg(pair[0], batch.headers, 4, MSG_DONTWAIT, NULL), 4);
    SAME(batch.headers[3].msg_hdr.msg_flags, MSG_TRUNC);
    SAME(recvmmsg(pair[0], batch.headers, MESSAGES, MSG_DONTWAIT, NULL), 2);
    say("sendmmsg, and what is left over");

    /* The time is up when the second message comes; the call has waited for that one even so. */
    prepare(&batch, 32);
    struct timespec wait = timespec_ms(5);
    thread = start(send_one_by_one, (void*)3);
    int got = recvmmsg(pair[0], batch.headers, 3, 0, &wait);
    CHECK(got >= 1 && got <= 3);
    join(thread);
    while (recv(pair[0], batch.data[0], 32, MSG_DONTWAIT) > 0) continue;
    struct timespec bad = {0, 1000000000};
    FAILS(recvmmsg(pair[0], batch.headers, 3, 0, &bad), EINVAL);
    say("a time limit");

    /* A full peer: the sender waits until all are taken. */
    prepare(&batch, 32);
    while (send(pair[1], "fill", 4, MSG_DONTWAIT) == 4) continue;
    SAME(errno, EAGAIN);
    struct batch* letters = (struct batch*)malloc(sizeof *letters);
    prepare(letters, 10);
    FAILS(sendmmsg(pair[1], letters->headers, MESSAGES, MSG_DONTWAIT), EAGAIN);
    struct timeval limit = timeval_ms(60);
    SAME(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    while (recv(pair[0], batch.data[0], 32, MSG_DONTWAIT) > 0) continue;
    SAME(send(pair[1], "only", 4, 0), 4);
    long before = ticks();
    SAME(recvmmsg(pair[0], batch.headers, 3, 0, NULL), 1); /* the second one timed out */
    CHECK(ticks() > before);
    SAME(sendmmsg(pair[1], letters->headers, MESSAGES, 0), MESSAGES);
    free(letters);
    say("what came before SO_RCVTIMEO counts");
    SAME(recvmmsg(pair[0], batch.headers, 0, MSG_DONTWAIT, NULL), 0);

    /* More than there is room for. */
    int little = 1; /* it becomes the least there is */
    SAME(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &little, sizeof little), 0);
    while (recv(pair[0], batch.data[0], 32, MSG_DONTWAIT) > 0) continue;
    thread = start(send_many, NULL);
    for (int i = 0; i < MANY; i++) SAME(recv(pair[0], batch.data[0], 32, 0), 6);
    void* sent;
    SAME(pthread_join(thread, &sent), 0);
    SAME((intptr_t)sent, MANY);
    say("all, while somebody reads");

    /* A signal ends the call with what has been sent, even under SA_RESTART. */
    struct sigaction action = {.sa_handler = count_it, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    thread = start(send_many, NULL);
    wait_ticks(3);
    pthread_kill(thread, SIGUSR1);
    wait_ticks(3);
    int took = 0;
    while (recv(pair[0], batch.data[0], 32, MSG_DONTWAIT) > 0) took++;
    SAME(pthread_join(thread, &sent), 0);
    while (recv(pair[0], batch.data[0], 32, MSG_DONTWAIT) > 0) took++;
    SAME((intptr_t)sent, took);
    CHECK(took > 0 && took < MANY);
    say("a part, after a signal");
    stop_ticking();
    return 0;
}
