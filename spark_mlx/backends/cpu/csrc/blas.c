/* The three matrix products that MLX calls a BLAS for; see blas.h.

   MLX's Linux wheel links the reference BLAS, which is some sixty times slower than the machine.
   Products with a few rows, the usual case in decoding, are bound by reading the weights once and
   have their own kernel: OpenBLAS would first copy every weight into its packed layout. Larger ones
   go to gemm.c where the CPU has vectors of 512 bits, else to OpenBLAS, cut into parts that the
   pool's threads share. */
#include "blas.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common.h"
#include "gemm.h"
#include "pool.h"

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };

typedef void sgemm_t(int, int, int, int, int, int, float, const float *, int, const float *, int,
                     float, float *, int);
typedef void dgemm_t(int, int, int, int, int, int, double, const double *, int, const double *, int,
                     double, double *, int);
typedef void cgemm_t(int, int, int, int, int, int, const void *, const void *, int, const void *,
                     int, const void *, void *, int);

typedef void set_threads_t(int);

static sgemm_t *sgemm;
static dgemm_t *dgemm;
static cgemm_t *cgemm;
static _Atomic long sgemm_calls;

static void *find(void *library, const char *prefix, const char *name) {
    char full[64];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    return dlsym(library, full);
}

const char *blas_open(const char *path, const char *prefix) {
    if (sgemm != NULL) return NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return dlerror();
    set_threads_t *set_threads = (set_threads_t *)find(library, prefix, "openblas_set_num_threads");
    sgemm_t *single = (sgemm_t *)find(library, prefix, "cblas_sgemm");
    dgemm = (dgemm_t *)find(library, prefix, "cblas_dgemm");
    cgemm = (cgemm_t *)find(library, prefix, "cblas_cgemm");
    if (!set_threads || !single || !dgemm || !cgemm) return "it is not OpenBLAS";
    set_threads(1);
    sgemm = single;
    return NULL;
}

int blas_is_open(void) { return sgemm != NULL; }

long blas_calls(void) { return atomic_load(&sgemm_calls); }

/* ---- A few rows: c (m, n) = alpha · a (m, k) · b (n, k)ᵀ + beta · c. ---- */

enum { LANES = 16, MAX_FEW = 16, TILE = 4 };

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline __attribute__((always_inline)) lanes load(const float *p) {
    return *(const lanes *)p;
}

/* Add up the lanes in halves, so that the additions do not wait for each other. */
static inline __attribute__((always_inline)) float sum(lanes v) {
    typedef float eight __attribute__((vector_size(32)));
    typedef float four __attribute__((vector_size(16)));
    union {
        lanes whole;
        eight halves[2];
    } a = {v};
    union {
        eight whole;
        four halves[2];
    } b = {a.halves[0] + a.halves[1]};
    four c = b.halves[0] + b.halves[1];
    return (c[0] + c[1]) + (c[2] + c[3]);
}

/* Multiply `rows` rows of a (at most TILE) with TILE rows of b; a weight is loaded once for all. */
static inline __attribute__((always_inline)) void tile(int rows, int k, const float *a, int lda,
                                                       const float *b, int ldb, float alpha,
                                                       float beta, float *c, int ldc) {
    lanes totals[TILE][TILE] = {{{0}}};
    int i = 0;
    for (; i + LANES <= k; i += LANES) {
        lanes weights[TILE];
        for (int n = 0; n < TILE; n++) {
            weights[n] = load(b + (long)n * ldb + i);
            /* The next tile's weights arrive while this one's are multiplied. */
            __builtin_prefetch(b + (long)(n + TILE) * ldb + i, 0, 2);
        }
        for (int m = 0; m < rows; m++) {
            lanes x = load(a + (long)m * lda + i);
            for (int n = 0; n < TILE; n++) totals[m][n] += x * weights[n];
        }
    }
    for (int m = 0; m < rows; m++)
        for (int n = 0; n < TILE; n++) {
            float total = sum(totals[m][n]);
            for (int j = i; j < k; j++) total += a[(long)m * lda + j] * b[(long)n * ldb + j];
            float *out = c + (long)m * ldc + n;
            *out = alpha * total + (beta == 0 ? 0 : beta * *out);
        }
}

FOR_EACH_CPU static void few_rows(int m, int n, int k, float alpha, const float *a, int lda,
                                  const float *b, int ldb, float beta, float *c, int ldc) {
    int j = 0;
    for (; j + TILE <= n; j += TILE) {
        const float *weights = b + (long)j * ldb;
        int i = 0;
        for (; i + 4 <= m; i += 4)
            tile(4, k, a + (long)i * lda, lda, weights, ldb, alpha, beta, c + (long)i * ldc + j,
                 ldc);
        const float *rest = a + (long)i * lda;
        float *out = c + (long)i * ldc + j;
        if (m - i == 1) tile(1, k, rest, lda, weights, ldb, alpha, beta, out, ldc);
        if (m - i == 2) tile(2, k, rest, lda, weights, ldb, alpha, beta, out, ldc);
        if (m - i == 3) tile(3, k, rest, lda, weights, ldb, alpha, beta, out, ldc);
    }
    for (; j < n; j++)
        for (int i = 0; i < m; i++) {
            float total = 0;
            for (int l = 0; l < k; l++) total += a[(long)i * lda + l] * b[(long)j * ldb + l];
            float *out = c + (long)i * ldc + j;
            *out = alpha * total + (beta == 0 ? 0 : beta * *out);
        }
}

/* ---- A product, cut into parts along its longer side. ---- */

typedef struct {
    int ta, tb, m, n, k, lda, ldb, ldc, by_rows, part;
    float alpha, beta;
    const float *a, *b;
    float *c;
} product;

static void run_part(void *context, int index) {
    const product *p = context;
    int from = index * p->part;
    int m = p->by_rows ? min(p->part, p->m - from) : p->m;
    int n = p->by_rows ? p->n : min(p->part, p->n - from);
    const float *a = p->a, *b = p->b;
    float *c = p->c;
    if (p->by_rows) {
        a += p->ta == TRANS ? from : (long)from * p->lda;
        c += (long)from * p->ldc;
    } else {
        b += p->tb == TRANS ? (long)from * p->ldb : from;
        c += from;
    }
    if (p->m <= MAX_FEW && p->ta == NO_TRANS && p->tb == TRANS)
        few_rows(m, n, p->k, p->alpha, a, p->lda, b, p->ldb, p->beta, c, p->ldc);
    else
        sgemm(ROW_MAJOR, p->ta, p->tb, m, n, p->k, p->alpha, a, p->lda, b, p->ldb, p->beta, c,
              p->ldc);
}

void blas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                int lda, const float *b, int ldb, float beta, float *c, int ldc) {
    atomic_fetch_add_explicit(&sgemm_calls, 1, memory_order_relaxed);
    if (order != ROW_MAJOR || m <= 0 || n <= 0) {
        sgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    if (m > MAX_FEW && ta == NO_TRANS && tb == TRANS && alpha == 1 && (beta == 0 || beta == 1) &&
        k >= 32 && gemm_transposed(m, n, k, a, lda, b, ldb, beta == 1, c, ldc) == 0)
        return;
    product p = {ta, tb, m, n, k, lda, ldb, ldc, m > n, 0, alpha, beta, a, b, c};
    int longer = m > n ? m : n;
    /* Below this, waking a thread takes longer than the product. */
    int parts = (double)m * n * k < 60000 ? 1 : pool_threads();
    p.part = (longer + parts - 1) / parts;
    p.part = (p.part + TILE - 1) / TILE * TILE;
    pool_run(run_part, &p, (longer + p.part - 1) / p.part);
}

void blas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a,
                int lda, const double *b, int ldb, double beta, double *c, int ldc) {
    dgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void blas_cgemm(int order, int ta, int tb, int m, int n, int k, const void *alpha, const void *a,
                int lda, const void *b, int ldb, const void *beta, void *c, int ldc) {
    cgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
