/* A pool of threads for parallel loops.

   A call publishes its loop as a ticket counter that holds the loop's generation in its upper half
   and the next index in its lower one. Whoever takes a ticket of the current generation below the
   loop's count owns that index. The caller leaves when all indices are done; a worker that comes
   late finds no ticket left, or one of a generation it does not know, and goes back to sleep. */
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

/* About 30 us: the usual gap between two matrix products of a decode step. Then a worker sleeps. */
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
static _Atomic int wanted = 1;
static _Atomic int aside;
static _Thread_local int alone;
static pthread_mutex_t entrance = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t bedroom = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t alarm_clock = PTHREAD_COND_INITIALIZER;
static int started;

/* Takes tickets of `generation` until there are none. */
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

/* Threads for a loop: those that work aside each take a core. */
static int threads_of_loop(void) {
    int left = atomic_load(&wanted) - atomic_load(&aside);
    return left < 1 ? 1 : left;
}

static void *worker(void *number) {
    uint32_t seen = 0;
    for (;;) {
        uint32_t now = seen;
        for (int i = 0; i < SPINS && now == seen; i++) {
            relax();
            now = (uint32_t)(atomic_load(&tickets) >> 32);
        }
        if (now == seen) {
            pthread_mutex_lock(&bedroom);
            atomic_fetch_add(&sleepers, 1);
            while ((now = (uint32_t)(atomic_load(&tickets) >> 32)) == seen)
                pthread_cond_wait(&alarm_clock, &bedroom);
            atomic_fetch_sub(&sleepers, 1);
            pthread_mutex_unlock(&bedroom);
        }
        seen = now;
        if ((intptr_t)number < threads_of_loop()) work(seen);
    }
    return NULL;
}

/* A child process has none of its parent's threads. */
static void after_fork(void) {
    started = 0;
    atomic_store(&sleepers, 0);
    atomic_store(&aside, alone);
    pthread_mutex_init(&entrance, NULL);
    pthread_mutex_init(&bedroom, NULL);
    pthread_cond_init(&alarm_clock, NULL);
}

static void start(void) {
    static int registered;
    if (!registered) registered = pthread_atfork(NULL, NULL, after_fork) == 0;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (started = 1; started < wanted; started++) {
        pthread_t thread;
        void *number = (void *)(intptr_t)started;
        if (pthread_create(&thread, &attributes, worker, number) != 0) break;
    }
    pthread_attr_destroy(&attributes);
}

int pool_threads(void) { return atomic_load(&wanted); }

void pool_set_threads(int threads) { atomic_store(&wanted, threads < 1 ? 1 : threads); }

void pool_aside(int on) {
    if (alone == on) return;
    alone = on;
    atomic_fetch_add(&aside, on ? 1 : -1);
}

void pool_run(pool_task task, void *context, int count) {
    if (count <= 1 || alone || threads_of_loop() == 1 || pthread_mutex_trylock(&entrance) != 0) {
        for (int i = 0; i < count; i++) task(context, i);
        return;
    }
    if (!started) start();
    uint32_t generation = (uint32_t)(atomic_load(&tickets) >> 32) + 1;
    loop *l = &loops[generation % SLOTS];
    l->task = task;
    l->context = context;
    atomic_store(&l->done, 0);
    atomic_store(&l->count, count);
    atomic_store(&tickets, (uint64_t)generation << 32);
    if (atomic_load(&sleepers) > 0) {
        pthread_mutex_lock(&bedroom);
        pthread_cond_broadcast(&alarm_clock);
        pthread_mutex_unlock(&bedroom);
    }
    work(generation);
    for (int spins = 0; atomic_load(&l->done) < count; spins++) {
        if (spins < SPINS) relax();
        else sched_yield();
    }
    pthread_mutex_unlock(&entrance);
}
