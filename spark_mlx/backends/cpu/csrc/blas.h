/* Matrix products under the signatures of CBLAS, through our kernels and OpenBLAS.

   Input and output: matrices as CBLAS takes them; the callers are MLX's threads. Any thread may
   call these, once `blas_open` has succeeded. */
#ifndef SPARK_BLAS_H
#define SPARK_BLAS_H

/* Open an OpenBLAS library; `prefix` stands before its names ("scipy_" or ""). The library is told
   to use one thread, since the work is shared out here. Returns NULL, or the reason of a failure.
 */
const char *blas_open(const char *path, const char *prefix);
int blas_is_open(void);

/* Count the calls of blas_sgemm so far. */
long blas_calls(void);

/* c (m, n) = alpha · a (m, k) · b (k, n) + beta · c, a and b transposed as `ta` and `tb` say. */
void blas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                int lda, const float *b, int ldb, float beta, float *c, int ldc);
void blas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a,
                int lda, const double *b, int ldb, double beta, double *c, int ldc);
void blas_cgemm(int order, int ta, int tb, int m, int n, int k, const void *alpha, const void *a,
                int lda, const void *b, int ldb, const void *beta, void *c, int ldc);

#endif
