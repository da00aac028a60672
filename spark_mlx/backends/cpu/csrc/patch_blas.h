/* Make a loaded MLX call the matrix products of blas.c. */
#ifndef SPARK_PATCH_BLAS_H
#define SPARK_PATCH_BLAS_H

/* Write the addresses of our products into the tables through which MLX's library calls its BLAS,
   and restore the protection of the pages they lie in. Returns how many entries were changed; 0
   where MLX is not loaded or calls its BLAS in another way. Any thread may compute meanwhile. */
int patch_blas(void);

#endif
