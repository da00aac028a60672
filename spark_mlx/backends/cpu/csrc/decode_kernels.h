/* The inner loops of decoding for one kind of vectors, chosen at run time.

   Input and output: float32 rows, and weights packed as decode_matrix.h describes. Each runs on the
   calling thread; any number of threads may run them. */
#ifndef SPARK_DECODE_KERNELS_H
#define SPARK_DECODE_KERNELS_H

enum {
    WIDTH = 32,          /* rows of a panel */
    GROUP = 64,          /* columns that share a scale and a bias */
    MAX_HEADS = 8,       /* query heads that `attend` takes at a time */
    MAX_HEAD_DIM = 256,  /* channels of a head */
    MAX_PACKED_ROWS = 8, /* rows that are multiplied with weights as they are packed */
};

/* y (rows, 32) += x (rows, columns) · panelᵀ. */
typedef void panel_times(int rows, int columns, const float *x, const float *group_sums,
                         const void *panel, float *y, long y_row);
/* `depth` columns of a panel from column `from` on → float32 in panels as gemm.h has them. */
typedef void panel_unpack(const void *panel, int from, int depth, float *to);

/* The formats of weights. */
typedef enum { FLOATS, BYTES, NIBBLES, FORMATS } format;

typedef struct {
    const char *name;
    int max_rows; /* of `times`; at most MAX_PACKED_ROWS */
    panel_times *times[FORMATS];
    panel_unpack *unpack[FORMATS];
    /* y = weight · x / sqrt(mean(x²) + eps) */
    void (*norm)(int size, const float *x, const float *weight, float eps, float *y);
    /* y = up · gate · σ(gate) */
    void (*swiglu)(int size, const float *gate, const float *up, float *y);
    /* queries (heads, dim), keys and values of `length` positions (see decode.h) → (heads, dim) */
    void (*attend)(int heads, int dim, int padded, const float *queries, const float *keys,
                   const float *values, int length, float *out);
} decode_kernel;

/* The kernel for the vectors that gemm.h uses. */
const decode_kernel *decode_kernel_now(void);

#endif
