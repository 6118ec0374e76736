/* A library for thread_late_tls.c: its thread-local variables lie where the program's do. */
#define STATIC_MODEL __attribute__((tls_model("initial-exec")))
static __thread int ready STATIC_MODEL = 42;
static __thread char zeroes[40] STATIC_MODEL;

/* How many are as they were at first; and spoils them all. */
int late_tls_fresh(void);
int late_tls_fresh(void) {
    int fresh = ready == 42;
    for (unsigned i = 0; i < sizeof zeroes; i++) fresh += zeroes[i] == 0;
    ready = 1;
    for (unsigned i = 0; i < sizeof zeroes; i++) zeroes[i] = 7;
    return fresh;
}
