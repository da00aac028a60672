/* Products of matrices in row-major order, through OpenBLAS. */
#ifndef SPARK_BLAS_H
#define SPARK_BLAS_H

/* Opens an OpenBLAS library; `prefix` stands before its names ("scipy_" or ""). The library is told
   to use one thread, since the work is shared out here. Returns NULL, or what went wrong. */
const char *blas_open(const char *path, const char *prefix);

/* How many products have come in from outside through cblas_sgemm since the start. */
long blas_calls(void);

#endif
