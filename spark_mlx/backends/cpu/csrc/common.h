/* What several of these files need. */
#ifndef SPARK_COMMON_H
#define SPARK_COMMON_H

/* Before a function: it is compiled for each generation of x86-64, and the loader takes the best.
   The address sanitizer is not ready when the loader chooses. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__)
#define FOR_EACH_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_CPU
#endif

enum { BLOCK = 1 << 14 }; /* numbers of an elementwise task */

static inline int least(int a, int b) { return a < b ? a : b; }
static inline int most(int a, int b) { return a > b ? a : b; }

#endif
