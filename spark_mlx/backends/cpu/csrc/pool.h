/* Threads that share out the work of one call; idle ones sleep. */
#ifndef SPARK_POOL_H
#define SPARK_POOL_H

typedef void (*pool_task)(void *context, int index);

/* Runs task(context, 0 … count - 1), each once, and returns when all are done. The caller works
   too. A call from inside a task, from a thread aside, or while another thread's call runs, does its
   work alone. */
void pool_run(pool_task task, void *context, int count);

/* How many threads work at most, the caller included. */
int pool_threads(void);

/* Whether the calling thread computes alone from now on, on a core that the loops of other threads
   leave to it. */
void pool_aside(int on);

/* Sets that number; only before the first call of pool_run. */
void pool_set_threads(int threads);

#endif
