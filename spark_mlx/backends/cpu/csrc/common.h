/* Definitions that several of these files need. */
#ifndef SPARK_COMMON_H
#define SPARK_COMMON_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SPARK_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SPARK_SANITIZED
#endif

/* Compile the function that follows once for each generation of x86-64; the loader takes the best
   one. Sanitizers are not ready when the loader chooses. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(SPARK_SANITIZED)
#define FOR_EACH_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_CPU
#endif

enum { BLOCK = 1 << 14 }; /* numbers of an elementwise task */

static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }

#endif
