/* A pool of threads for parallel loops; idle threads sleep.

   Any thread may call any of these functions. A child of fork() starts with no threads and makes
   its own at its first loop. */
#ifndef SPARK_POOL_H
#define SPARK_POOL_H

typedef void (*pool_task)(void *context, int index);

/* Run task(context, 0 … count - 1), each once, and return when all are done. The calling thread
   takes its share. It runs the loop alone inside a task, on a reserved core (see below), and while
   a loop of another thread runs. */
void pool_run(pool_task task, void *context, int count);

/* The number of threads that a loop uses at most, the calling one included. */
int pool_threads(void);

/* Set that number; before the first loop. */
void pool_set_threads(int threads);

/* Reserve a core for the calling thread, or give it back: it then runs its loops alone, and those
   of other threads use one thread less. */
void pool_reserve_core(int on);

#endif
