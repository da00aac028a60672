/* Matrix products in tiles that stay in registers: all convolutions of the codec and the larger
   products of decoding come down to these.

   Input and output: float32 in row-major order; a `*_row` is the distance between rows in floats.
   Any thread may call these at the same time, but `gemm_use_kernel`, which is for tests. */
#ifndef SPARK_GEMM_H
#define SPARK_GEMM_H

/* Weights in the order in which the product reads them: (taps, panels, k, width), the columns of a
   layer cut into panels as wide as two vectors of this CPU. */
typedef struct {
    int taps, k, columns, panels, width;
    float *data;
} packed_weights;

/* Pack weights (columns, taps, k), in parallel. Returns 0, or -1 without memory. */
int gemm_pack(packed_weights *p, const float *weight, int columns, int taps, int k);
void gemm_free(packed_weights *p);

/* Multiply windows of a sequence with packed weights, on the calling thread:
   c[m][n] += Σ_tap Σ_i a[m][tap][i] · weight[first + tap · step][n][i]
   for `rows` rows m and `taps` taps. The taps of a row lie `a_tap` floats apart, so that windows of
   neighbouring rows may overlap. */
void gemm_windows(const packed_weights *p, int first, int step, int taps, int rows, const float *a,
                  long a_row, long a_tap, float *c, long c_row);

/* c (rows, columns) += a (rows, depth) · b (depth, columns), on the calling thread. */
void gemm_plain(int rows, int columns, int depth, const float *a, long a_row, const float *b,
                long b_row, float *c, long c_row);

/* c (rows, columns) += a (rows, depth) · b (depth, width), where b is a panel as wide as
   `gemm_panel_width` says, of which `columns` count; on the calling thread. */
void gemm_panel(int rows, int columns, int depth, const float *a, long a_row, const float *b,
                float *c, long c_row);
int gemm_panel_width(void);

/* Transpose x (frames, channels) → y (channels, y_row ≥ frames); what is left of a row becomes
   zero. */
void gemm_transpose(const float *x, long x_row, int frames, int channels, float *y, int y_row);

/* c (m, n) = a (m, k) · b (n, k)ᵀ, added to what c holds if `add`; in parallel. Returns 0, or -1
   where OpenBLAS is the better choice on this CPU; c is then untouched. */
int gemm_transposed(int m, int n, int k, const float *a, int a_row, const float *b, int b_row,
                    int add, float *c, int c_row);

/* Choose the kernel "plain", "AVX2" or "AVX-512" while no other thread computes; the widest that
   this CPU has is chosen at the start. Returns 0, or -1 where it cannot run. */
int gemm_use_kernel(const char *name);
const char *gemm_kernel_name(void);

#endif
