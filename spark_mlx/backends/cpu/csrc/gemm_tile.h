/* The inner loop of gemm.c for one instruction set; included once for each, with these set: NAME,
   TARGET (a function attribute), LANES of a vector, ROWS of a tile.

   Input: rows of a, a packed panel of b. Output: c (rows, columns) += a · b, columns ≤ 2 · LANES. A
   tile is ROWS × two vectors of sums, all of them in registers. On the calling thread. */

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define vec PASTE(vec_, NAME)

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

TARGET static inline __attribute__((always_inline)) void
PASTE(tile_, NAME)(int rows, int taps, int k, const float *a, long a_row, long a_tap,
                   const float *b, long b_tap, float *c, long c_row, int columns) {
    vec sums[ROWS][2];
    for (int m = 0; m < rows; m++) sums[m][0] = sums[m][1] = (vec){0};
    for (int tap = 0; tap < taps; tap++, a += a_tap, b += b_tap)
        for (int i = 0; i < k; i++) {
            const vec *weights = (const vec *)(b + (long)i * 2 * LANES);
            vec left = weights[0], right = weights[1];
            for (int m = 0; m < rows; m++) {
                float x = a[m * a_row + i];
                sums[m][0] += x * left;
                sums[m][1] += x * right;
            }
        }
    for (int m = 0; m < rows; m++) {
        float *out = c + m * c_row;
        if (columns == 2 * LANES) {
            ((vec *)out)[0] += sums[m][0];
            ((vec *)out)[1] += sums[m][1];
        } else {
            for (int n = 0; n < columns; n++) out[n] += sums[m][n / LANES][n % LANES];
        }
    }
}

TARGET static void PASTE(panel_, NAME)(int rows, int taps, int k, const float *a, long a_row,
                                       long a_tap, const float *b, long b_tap, float *c, long c_row,
                                       int columns) {
#define TILE_OF(count)                                                           \
    for (; rows >= count; rows -= count, a += count * a_row, c += count * c_row) \
    PASTE(tile_, NAME)(count, taps, k, a, a_row, a_tap, b, b_tap, c, c_row, columns)
    TILE_OF(ROWS);
    TILE_OF(4);
    TILE_OF(1);
#undef TILE_OF
}

#undef PASTE_
#undef PASTE
#undef vec
#undef NAME
#undef TARGET
#undef LANES
#undef ROWS
