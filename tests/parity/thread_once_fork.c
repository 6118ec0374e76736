/* fork while another thread is in the middle of a pthread_once: the child has no such thread, so
 * the once is open again there and its first caller runs the function; the parent's is finished by
 * the thread that began it. One that was complete before the fork stays so in the child.
 *
 * PARITY: switches=5 threads=2
 */
#include "thread.h"

static pthread_once_t complete = PTHREAD_ONCE_INIT, half_way = PTHREAD_ONCE_INIT;
static int complete_runs, half_way_runs, in_child;
static sem_t begun, go_on;

static void run_complete(void) { complete_runs++; }

static void run_half_way(void) {
    half_way_runs++;
    if (in_child) return;
    sem_post(&begun);
    while (sem_wait(&go_on) != 0) CHECK(errno == EINTR);
}

static void* call_both(void* arg) {
    CHECK(pthread_once(&complete, run_complete) == 0);
    CHECK(pthread_once(&half_way, run_half_way) == 0);
    return arg;
}

static void call_in_child(void) {
    in_child = 1;
    pthread_t threads[] = {spawn(call_both, NULL), spawn(call_both, NULL)};
    for (int i = 0; i < 2; i++) finish(threads[i]);
    call_both(NULL);
    printf("child: %d complete, %d half way\n", complete_runs, half_way_runs);
    fflush(stdout);
}

int main(void) {
    CHECK(sem_init(&begun, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0);
    pthread_t first = spawn(call_both, NULL);
    while (sem_wait(&begun) != 0) CHECK(errno == EINTR);
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            call_in_child();
            _exit(7 + i);
        }
        printf("status %d\n", child_status(child));
        fflush(stdout);
    }
    pthread_t second = spawn(call_both, NULL);
    nap(20);
    CHECK(half_way_runs == 1);
    sem_post(&go_on);
    finish(first);
    finish(second);
    printf("parent: %d complete, %d half way\n", complete_runs, half_way_runs);
    return 0;
}
