/* Sums of products of windows with packed weights: what all convolutions of the codec come down to.

   For each row m and column n:  c[m][n] += Σ_tap Σ_i a[m][tap][i] · weight[tap][n][i]
   where a row's taps lie `a_tap` floats apart, so that windows of neighbouring rows may overlap. */
#ifndef SPARK_PRODUCT_H
#define SPARK_PRODUCT_H

/* Weights in the order in which the product reads them: (taps, panels, k, width), the columns of a
   layer cut into panels as wide as two vectors of this CPU. */
typedef struct {
    int taps, k, columns, panels, width;
    float *data;
} packed;

/* Packs weights (columns, taps, k), shared out over the pool. Returns 0, or -1 without memory. */
int product_pack(packed *p, const float *weight, int columns, int taps, int k);
void product_free(packed *p);

/* Adds to `rows` rows of c the products with `taps` taps of the packed weights, from `first` on and
   `step` apart. Rows of a lie `a_row` floats apart, rows of c `c_row`. On the calling thread. */
void product_add(const packed *p, int first, int step, int taps, int rows, const float *a,
                 long a_row, long a_tap, float *c, long c_row);

/* c (rows, columns) += a (rows, depth) · b (depth, columns), their rows `a_row`, `b_row` and `c_row`
   floats apart. On the calling thread. */
void product_plain(int rows, int columns, int depth, const float *a, long a_row, const float *b,
                   long b_row, float *c, long c_row);

/* c (rows, columns) += a (rows, depth) · b (depth, width), a panel as wide as `product_width` says,
   of which `columns` count. On the calling thread. */
void product_panel(int rows, int columns, int depth, const float *a, long a_row, const float *b,
                   float *c, long c_row);
int product_width(void);

/* Copies x (frames, channels) into y as (channels, frames), rows of y `y_row` floats apart. Rows of
   x lie `x_row` apart. What is left of a row of y becomes zero. */
void product_turn(const float *x, long x_row, int frames, int channels, float *y, int y_row);

/* Takes the kernel of that name, "plain", "AVX2" or "AVX-512", for tests of each; the widest that this
   CPU has is taken at the start. Returns 0, or -1 where it cannot run. */
int product_use(const char *name);
const char *product_name(void);

/* c (m, n) = a (m, k) · b (n, k)ᵀ for plain matrices, rows `lda`, `ldb` and `ldc` apart; added to
   what c holds if `add`. Shared out over the pool. Returns 0, or -1 where OpenBLAS is the better choice on this CPU; c is then
   untouched. */
int product_times(int m, int n, int k, const float *a, int lda, const float *b, int ldb, int add,
                  float *c, int ldc);

#endif
