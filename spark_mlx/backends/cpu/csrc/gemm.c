/* Pack weights and multiply windows with them, in tiles that stay in registers; see gemm.h.

   OpenBLAS would pack the same weights anew for every tap and every piece of the sequence. Work is
   cut into panels of columns; a task owns the columns of c that it writes. */
#include "gemm.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "pool.h"

#define NAME plain
#define TARGET
#define LANES 4
#if defined(__aarch64__)
#define ROWS 12
#else
#define ROWS 4
#endif
#include "gemm_tile.h"

#if defined(__x86_64__)
#define NAME avx2
#define TARGET __attribute__((target("avx2,fma")))
#define LANES 8
#define ROWS 6
#include "gemm_tile.h"

#define NAME avx512
#define TARGET __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,fma")))
#define LANES 16
#define ROWS 12
#include "gemm_tile.h"
#endif

typedef void panel_product(int rows, int taps, int k, const float *a, long a_row, long a_tap,
                           const float *b, long b_tap, float *c, long c_row, int columns);

typedef struct {
    const char *name;
    panel_product *panel;
    int width;
} kernel;

/* From the plainest to the widest. */
static const kernel kernels[] = {
    {"plain", panel_plain, 8},
#if defined(__x86_64__)
    {"AVX2", panel_avx2, 16},
    {"AVX-512", panel_avx512, 32},
#endif
};
enum { KERNELS = sizeof kernels / sizeof *kernels };

static const kernel *_Atomic chosen = &kernels[0];

static const kernel *current(void) { return atomic_load_explicit(&chosen, memory_order_relaxed); }

static int runs_here(const char *name) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (strcmp(name, "AVX2") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (strcmp(name, "AVX-512") == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
#endif
    return strcmp(name, "plain") == 0;
}

int gemm_use_kernel(const char *name) {
    for (int i = 0; i < KERNELS; i++)
        if (strcmp(kernels[i].name, name) == 0 && runs_here(name)) {
            atomic_store(&chosen, &kernels[i]);
            return 0;
        }
    return -1;
}

const char *gemm_kernel_name(void) { return current()->name; }

int gemm_panel_width(void) { return current()->width; }

/* Choose the widest vectors of this CPU when the library is loaded. */
__attribute__((constructor)) static void choose_widest(void) {
    for (int i = 0; i < KERNELS; i++) gemm_use_kernel(kernels[i].name);
}

/* ---- Packing: rows of weights become columns of a panel. ---- */

typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));
typedef int eight_indices __attribute__((vector_size(32)));

#if defined(__clang__)
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PICK(a, b, ...) __builtin_shuffle(a, b, (eight_indices){__VA_ARGS__})
#endif
/* Indices 0–7 pick from a, 8–15 from b. */
#define LOW(a, b) PICK(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH(a, b) PICK(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define EVEN(a, b) PICK(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define ODD(a, b) PICK(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define FIRST(a, b) PICK(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define LAST(a, b) PICK(a, b, 4, 5, 6, 7, 12, 13, 14, 15)

/* Transpose 8 × 8 numbers by interleaving pairs of rows three times. */
static inline __attribute__((always_inline)) void transpose(const float *from, long from_row,
                                                            float *to, int width) {
    eight r[8], s[8];
    for (int i = 0; i < 8; i++) r[i] = *(const eight *)(from + i * from_row);
    for (int i = 0; i < 8; i += 2) {
        s[i] = LOW(r[i], r[i + 1]);
        s[i + 1] = HIGH(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = EVEN(s[i], s[i + 2]);
        r[i + 1] = ODD(s[i], s[i + 2]);
        r[i + 2] = EVEN(s[i + 1], s[i + 3]);
        r[i + 3] = ODD(s[i + 1], s[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        *(eight *)(to + (long)i * width) = FIRST(r[i], r[i + 4]);
        *(eight *)(to + (long)(i + 4) * width) = LAST(r[i], r[i + 4]);
    }
}

/* Transpose `columns` rows of `depth` weights into (depth, width), with zeros beside them. */
FOR_EACH_CPU static void pack_panel(const float *from, long from_row, int columns, int depth,
                                    float *to, int width) {
    int n = 0;
    for (; n + 8 <= columns; n += 8) {
        int i = 0;
        for (; i + 8 <= depth; i += 8)
            transpose(from + n * from_row + i, from_row, to + (long)i * width + n, width);
        for (; i < depth; i++)
            for (int j = n; j < n + 8; j++) to[(long)i * width + j] = from[j * from_row + i];
    }
    for (; n < width; n++)
        for (int i = 0; i < depth; i++)
            to[(long)i * width + n] = n < columns ? from[n * from_row + i] : 0;
}

typedef struct {
    const packed_weights *p;
    const float *weight;
} pack_job;

static void pack_task(void *context, int index) {
    const pack_job *job = context;
    const packed_weights *p = job->p;
    int tap = index / p->panels, from = index % p->panels * p->width;
    int columns = min(p->width, p->columns - from);
    pack_panel(job->weight + ((long)from * p->taps + tap) * p->k, (long)p->taps * p->k, columns,
               p->k, p->data + (long)index * p->k * p->width, p->width);
}

int gemm_pack(packed_weights *p, const float *weight, int columns, int taps, int k) {
    int width = gemm_panel_width(), panels = (columns - 1) / width + 1;
    *p = (packed_weights){taps, k, columns, panels, width, NULL};
    p->data = aligned_alloc(64, ((size_t)taps * panels * k * width * sizeof(float) + 63) / 64 * 64);
    if (p->data == NULL) return -1;
    pack_job job = {p, weight};
    pool_run(pack_task, &job, taps * panels);
    return 0;
}

void gemm_free(packed_weights *p) { free(p->data); }

void gemm_windows(const packed_weights *p, int first, int step, int taps, int rows, const float *a,
                  long a_row, long a_tap, float *c, long c_row) {
    long panel_size = (long)p->k * p->width, tap_size = panel_size * p->panels;
    /* Few enough taps at a time that a panel's weights stay in the cache for all rows. */
    int together = max(1, 1024 / p->k);
    panel_product *panel = current()->panel;
    for (int n = 0; n < p->panels; n++) {
        int columns = min(p->width, p->columns - n * p->width);
        for (int tap = 0; tap < taps; tap += together)
            panel(rows, min(together, taps - tap), p->k, a + tap * a_tap, a_row, a_tap,
                  p->data + (first + (long)tap * step) * tap_size + n * panel_size, step * tap_size,
                  c + n * p->width, c_row, columns);
    }
}

/* Depth of the weights that are packed at a time: 64 kB for a panel, on the stack. */
enum { DEPTH = 512 };

void gemm_plain(int rows, int columns, int depth, const float *a, long a_row, const float *b,
                long b_row, float *c, long c_row) {
    _Alignas(64) float buffer[DEPTH * 32];
    const kernel *k = current();
    int panel_width = k->width;
    for (int n = 0; n < columns; n += panel_width) {
        int width = min(panel_width, columns - n);
        for (int from = 0; from < depth; from += DEPTH) {
            int count = min(DEPTH, depth - from);
            const float *part = b + from * b_row + n;
            if (width < panel_width || b_row != panel_width) {
                for (int i = 0; i < count; i++) {
                    memcpy(buffer + (long)i * panel_width, part + i * b_row, 4ul * width);
                    memset(buffer + (long)i * panel_width + width, 0, 4ul * (panel_width - width));
                }
                part = buffer;
            }
            k->panel(rows, 1, count, a + from, a_row, 0, part, 0, c + n, c_row, width);
        }
    }
}

void gemm_panel(int rows, int columns, int depth, const float *a, long a_row, const float *b,
                float *c, long c_row) {
    current()->panel(rows, 1, depth, a, a_row, 0, b, 0, c, c_row, columns);
}

void gemm_transpose(const float *x, long x_row, int frames, int channels, float *y, int y_row) {
    pack_panel(x, x_row, frames, channels, y, y_row);
}

typedef struct {
    const kernel *kernel;
    int m, n, k, a_row, b_row, c_row, add;
    const float *a, *b;
    float *c;
} transposed_job;

/* Compute one panel of columns, for all rows. It is packed piece by piece just before it is used,
   so that every weight comes from memory once and its packed copy never leaves the cache. */
static void transposed_task(void *context, int index) {
    const transposed_job *job = context;
    int width = job->kernel->width, from = index * width, columns = min(width, job->n - from);
    _Alignas(64) float buffer[DEPTH * 32];
    for (int m = 0; m < job->m && !job->add; m++)
        for (int n = 0; n < columns; n++) job->c[(long)m * job->c_row + from + n] = 0;
    for (int i = 0; i < job->k; i += DEPTH) {
        int depth = min(DEPTH, job->k - i);
        pack_panel(job->b + (long)from * job->b_row + i, job->b_row, columns, depth, buffer, width);
        job->kernel->panel(job->m, 1, depth, job->a + i, job->a_row, 0, buffer, 0, job->c + from,
                           job->c_row, columns);
    }
}

int gemm_transposed(int m, int n, int k, const float *a, int a_row, const float *b, int b_row,
                    int add, float *c, int c_row) {
    const kernel *best = current();
    if (best->width < 32) return -1;
    transposed_job job = {best, m, n, k, a_row, b_row, c_row, add, a, b, c};
    pool_run(transposed_task, &job, (n - 1) / best->width + 1);
    return 0;
}
