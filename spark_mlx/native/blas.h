/* Products of matrices in row-major order, through OpenBLAS. */
#ifndef SPARK_BLAS_H
#define SPARK_BLAS_H

/* Opens an OpenBLAS library; `prefix` stands before its names ("scipy_" or ""). The library is told
   to use one thread, since the work is shared out here. Returns NULL, or what went wrong. */
const char *blas_open(const char *path, const char *prefix);

/* How many products have come in from outside through cblas_sgemm since the start. */
long blas_calls(void);

/* c (m, n) += a (m, k) · b (n, k)ᵀ, rows `lda`, `ldb`, `ldc` floats apart; on one thread. */
void blas_accumulate(int m, int n, int k, const float *a, int lda, const float *b, int ldb,
                     float *c, int ldc);

#endif
