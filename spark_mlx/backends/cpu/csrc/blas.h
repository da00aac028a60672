/* Products of matrices in row-major order, through OpenBLAS. */
#ifndef SPARK_BLAS_H
#define SPARK_BLAS_H

/* Opens an OpenBLAS library; `prefix` stands before its names ("scipy_" or ""). The library is told
   to use one thread, since the work is shared out here. Returns NULL, or what went wrong. */
const char *blas_open(const char *path, const char *prefix);

/* How many products have come in from outside through cblas_sgemm since the start. */
long blas_calls(void);

/* The products with the signatures of the CBLAS functions whose place they take. Any thread. */
void blas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                int lda, const float *b, int ldb, float beta, float *c, int ldc);
void blas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a,
                int lda, const double *b, int ldb, double beta, double *c, int ldc);
void blas_cgemm(int order, int ta, int tb, int m, int n, int k, const void *alpha, const void *a,
                int lda, const void *b, int ldb, const void *beta, void *c, int ldc);

#endif
