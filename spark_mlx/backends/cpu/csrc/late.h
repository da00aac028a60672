/* For when MLX was imported first and has looked its BLAS up already. */
#ifndef SPARK_LATE_H
#define SPARK_LATE_H

/* Lets MLX's library call our products from now on. Returns how many places were changed. */
int late_redirect(void);

#endif
