/* A matrix of weights in the order in which decoding reads it, as float32 or in 8 or 4 bits.

   Its rows are cut into panels of 32 that lie side by side like the lanes of a vector. A panel in
   float32 holds 32 weights for each column. A quantised one holds, for each group of 64 columns,
   32 scales, 32 biases, and then words of 32 bits, 32 for each few columns: lane n of a word has
   the weights of row n, lowest bits first. A weight is its number · scale + bias. The order is the
   same for every kernel. A packed matrix is only read, by any number of threads. */
#ifndef SPARK_DECODE_MATRIX_H
#define SPARK_DECODE_MATRIX_H

typedef struct {
    int rows, columns, bits, panels;
    long panel_size; /* in words of 32 bits */
    float *data;
} matrix;

/* Pack weights (rows, columns), in parallel. With 32 bits `weight` is float32, and scales and
   biases are not read; with 8 or 4 it is words as MLX packs them, (rows, columns · bits / 32), and
   the others are (rows, columns / 64). Returns 0, or -1 without memory. */
int matrix_pack(matrix *m, int rows, int columns, int bits, const void *weight, const float *scales,
                const float *biases);
void matrix_free(matrix *m);

/* The left operand of a product: `count` rows without gaps, and if these are at most
   MAX_PACKED_ROWS, the sum of each 64 of their numbers, by `matrix_sums`. */
typedef struct {
    int count;
    const float *rows, *sums;
} operand;

/* rows (count, columns) → (count, columns / 64); nothing for more than MAX_PACKED_ROWS rows. */
void matrix_sums(int count, const float *rows, int columns, float *sums);

/* Add x · mᵀ to columns 32 · panel and on of y (count, m->rows): as many as the panel has, which is
   fewer than 32 only in the last one. On the calling thread. */
void matrix_add(const matrix *m, int panel, const operand *x, float *y);

/* The same, but these columns of y begin as `bias` (m->rows), or as zeros if that is NULL. */
void matrix_set(const matrix *m, int panel, const operand *x, const float *bias, float *y);

/* The number of parts that a loop over so many panels is cut into; the first panel of a part. */
int matrix_parts(int panels);
static inline int matrix_part(int panels, int index, int parts) {
    return (int)((long)panels * index / parts);
}

/* y (count, m->rows) = x (count, m->columns) · mᵀ, in parallel. Returns 0, or -1 without memory. */
int matrix_multiply(const matrix *m, int count, const float *x, float *y);

#endif
