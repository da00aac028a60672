/* A pool of threads for parallel loops; see pool.h.

   A loop is published as a ticket counter that holds the loop's generation in its upper half and
   the next index in its lower one. The thread that takes a ticket of the current generation below
   the loop's count owns that index. The calling thread returns when all indices are done; a worker
   that wakes up late finds no ticket left, or one of another generation, and sleeps again.

   A fork waits until no loop runs: the child inherits a counter without open tickets and no locked
   mutex, and never runs a task of its parent's threads. */
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#if defined(__x86_64__)
#define relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define relax() __asm__ volatile("yield")
#else
#define relax() ((void)0)
#endif

/* SPINS take about 30 us, the usual gap between two loops of a decode step; then a worker sleeps.
   So many SLOTS that a late worker never reads the slot of the loop that runs. */
enum { SPINS = 1000, SLOTS = 8 };

typedef struct {
    pool_task task;
    void *context;
    _Atomic int count;
    _Atomic int done;
} loop;

static loop loops[SLOTS];
static _Atomic uint64_t tickets;
static _Atomic int sleepers;
static _Atomic int max_threads = 1;
static _Atomic int reserved_cores;
static _Thread_local int has_reserved_core;

/* Held by the thread whose loop runs. */
static pthread_mutex_t loop_mutex = PTHREAD_MUTEX_INITIALIZER;
static int workers_started; /* guarded by loop_mutex */

/* Guards the sleep of workers: a loop is published before its workers are woken. */
static pthread_mutex_t sleep_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake_up = PTHREAD_COND_INITIALIZER;

/* Take tickets of `generation` and run their tasks until none is left. */
static void work(uint32_t generation) {
    loop *l = &loops[generation % SLOTS];
    for (;;) {
        uint64_t ticket = atomic_load(&tickets);
        uint32_t index = (uint32_t)ticket;
        if ((uint32_t)(ticket >> 32) != generation || (int)index >= atomic_load(&l->count)) return;
        if (!atomic_compare_exchange_weak(&tickets, &ticket, ticket + 1)) continue;
        /* A ticket was taken from the running loop, so its caller is still waiting for it. */
        l->task(l->context, (int)index);
        atomic_fetch_add(&l->done, 1);
    }
}

/* Threads for a loop: all but those on reserved cores. */
static int threads_of_loop(void) {
    int left = atomic_load(&max_threads) - atomic_load(&reserved_cores);
    return left < 1 ? 1 : left;
}

static uint32_t current_generation(void) { return (uint32_t)(atomic_load(&tickets) >> 32); }

/* Wait for a generation other than `seen`: first spinning, then asleep. */
static uint32_t next_generation(uint32_t seen) {
    uint32_t now = seen;
    for (int i = 0; i < SPINS && now == seen; i++) {
        relax();
        now = current_generation();
    }
    if (now != seen) return now;
    pthread_mutex_lock(&sleep_mutex);
    atomic_fetch_add(&sleepers, 1);
    while ((now = current_generation()) == seen) pthread_cond_wait(&wake_up, &sleep_mutex);
    atomic_fetch_sub(&sleepers, 1);
    pthread_mutex_unlock(&sleep_mutex);
    return now;
}

static void *worker(void *number) {
    for (uint32_t generation = 0;;) {
        generation = next_generation(generation);
        if ((intptr_t)number < threads_of_loop()) work(generation);
    }
    return NULL;
}

/* ---- Fork ---- */

static void before_fork(void) {
    pthread_mutex_lock(&loop_mutex);
    pthread_mutex_lock(&sleep_mutex);
}

static void after_fork_in_parent(void) {
    pthread_mutex_unlock(&sleep_mutex);
    pthread_mutex_unlock(&loop_mutex);
}

/* Forget the parent's workers. The condition variable still counts them as waiting. */
static void after_fork_in_child(void) {
    workers_started = 0;
    atomic_store(&sleepers, 0);
    atomic_store(&reserved_cores, has_reserved_core);
    pthread_cond_init(&wake_up, NULL);
    after_fork_in_parent();
}

/* ---- Loops ---- */

static void start_workers(void) {
    static int fork_is_handled;
    if (!fork_is_handled)
        fork_is_handled =
            pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (workers_started = 1; workers_started < pool_threads(); workers_started++) {
        pthread_t thread;
        void *number = (void *)(intptr_t)workers_started;
        if (pthread_create(&thread, &attributes, worker, number) != 0) break;
    }
    pthread_attr_destroy(&attributes);
}

/* Publish a loop and return its generation. */
static uint32_t publish(pool_task task, void *context, int count) {
    uint32_t generation = current_generation() + 1;
    loop *l = &loops[generation % SLOTS];
    l->task = task;
    l->context = context;
    atomic_store(&l->done, 0);
    atomic_store(&l->count, count);
    atomic_store(&tickets, (uint64_t)generation << 32);
    if (atomic_load(&sleepers) > 0) {
        pthread_mutex_lock(&sleep_mutex);
        pthread_cond_broadcast(&wake_up);
        pthread_mutex_unlock(&sleep_mutex);
    }
    return generation;
}

int pool_threads(void) { return atomic_load(&max_threads); }

void pool_set_threads(int threads) { atomic_store(&max_threads, threads < 1 ? 1 : threads); }

void pool_reserve_core(int on) {
    if (has_reserved_core == on) return;
    has_reserved_core = on;
    atomic_fetch_add(&reserved_cores, on ? 1 : -1);
}

void pool_run(pool_task task, void *context, int count) {
    if (count <= 1 || has_reserved_core || threads_of_loop() == 1 ||
        pthread_mutex_trylock(&loop_mutex) != 0) {
        for (int i = 0; i < count; i++) task(context, i);
        return;
    }
    if (!workers_started) start_workers();
    uint32_t generation = publish(task, context, count);
    work(generation);
    const loop *l = &loops[generation % SLOTS];
    for (int spins = 0; atomic_load(&l->done) < count; spins++) {
        if (spins < SPINS) relax();
        else sched_yield();
    }
    pthread_mutex_unlock(&loop_mutex);
}
