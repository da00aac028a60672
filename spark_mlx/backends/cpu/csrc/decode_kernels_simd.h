/* The inner loops of decoding for one instruction set; included once for each, with these set:
   NAME, TARGET (a function attribute), LANES of a vector, MAX_ROWS, for which the registers hold
   two vectors of sums each, and BYTE(w, j) and NIBBLE(w, j), which turn the j-th number of each
   word into a float.

   Inputs and outputs are those of decode_kernels.h. On the calling thread. */

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define OWN(name) PASTE(PASTE(name, _), NAME)
#define vec OWN(vec)
#define words OWN(words)
#define INLINE TARGET static inline __attribute__((always_inline))

enum {
    OWN(VECTORS) = WIDTH / LANES,
    /* Sums that run side by side, so that an addition need not wait for the one before it. */
    OWN(CHAINS) = 8 * LANES / WIDTH < 1 ? 1 : 8 * LANES / WIDTH,
    OWN(max_rows) = MAX_ROWS,
};
#define VECTORS OWN(VECTORS)
#define CHAINS OWN(CHAINS)

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int words __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* Prefetch weights that are needed soon. */
INLINE void OWN(prefetch)(const void *from, int bytes) {
    for (int i = 0; i < bytes; i += 64)
        __builtin_prefetch((const char *)from + PREFETCH_DISTANCE + i, 0, 3);
}

INLINE void OWN(add_up)(vec sums[CHAINS][VECTORS]) {
    for (int chain = CHAINS / 2; chain > 0; chain /= 2)
        for (int i = 0; i < chain; i++)
            for (int v = 0; v < VECTORS; v++) sums[i][v] += sums[i + chain][v];
}

/* y (32) += x (columns) times a panel of float32, prefetched unless it is `cached`. */
INLINE void OWN(times_floats)(int columns, const float *x, const void *panel, int cached,
                              float *y) {
    const vec *weights = panel;
    vec sums[CHAINS][VECTORS] = {{{0}}};
    int i = 0;
    for (; i + CHAINS <= columns; i += CHAINS, weights += CHAINS * VECTORS) {
        if (!cached) OWN(prefetch)(weights, CHAINS * WIDTH * 4);
        for (int chain = 0; chain < CHAINS; chain++)
            for (int v = 0; v < VECTORS; v++)
                sums[chain][v] += x[i + chain] * weights[chain * VECTORS + v];
    }
    for (; i < columns; i++, weights += VECTORS)
        for (int v = 0; v < VECTORS; v++) sums[0][v] += x[i] * weights[v];
    OWN(add_up)(sums);
    for (int v = 0; v < VECTORS; v++) ((vec *)y)[v] += sums[0][v];
}

INLINE vec OWN(number)(int bits, words w, int j) { return bits == 8 ? BYTE(w, j) : NIBBLE(w, j); }

/* The same with a quantised panel: y += scale · Σ x · number + bias · Σ x, group by group. */
INLINE void OWN(times_packed)(int bits, int columns, const float *x, const float *group_sums,
                              const void *panel, float *y) {
    const vec *block = panel;
    vec totals[VECTORS];
    for (int v = 0; v < VECTORS; v++) totals[v] = ((vec *)y)[v];
    for (int group = 0; group < columns / GROUP; group++) {
        const vec *scales = block, *biases = block + VECTORS;
        const words *packed = (const words *)(block + 2 * VECTORS);
        OWN(prefetch)(scales, 2 * WIDTH * 4);
        vec sums[CHAINS][VECTORS] = {{{0}}};
        for (int i = 0; i < GROUP; i += 32 / bits, packed += VECTORS) {
            OWN(prefetch)(packed, WIDTH * 4);
            words w[VECTORS];
            for (int v = 0; v < VECTORS; v++) w[v] = packed[v];
            for (int j = 0; j < 32 / bits; j++)
                for (int v = 0; v < VECTORS; v++)
                    sums[j % CHAINS][v] += x[i + j] * OWN(number)(bits, w[v], j);
        }
        OWN(add_up)(sums);
        for (int v = 0; v < VECTORS; v++)
            totals[v] += scales[v] * sums[0][v] + biases[v] * group_sums[group];
        x += GROUP;
        block = (const vec *)packed;
    }
    for (int v = 0; v < VECTORS; v++) ((vec *)y)[v] = totals[v];
}

/* y (rows, 32) += x (rows, columns) times a panel, whose weights are read once for all rows: two
   vectors of the 32 at a time, over all columns. */
INLINE void OWN(times_several)(int bits, int rows, int columns, const float *x,
                               const float *group_sums, const void *panel, float *y, long y_row) {
    int groups = columns / GROUP;
    for (int pair = 0; pair < VECTORS; pair += 2) {
        const vec *block = (const vec *)panel + pair;
        /* A panel in float32 is all one group. */
        for (int from = 0; from < columns; from += bits == 32 ? columns : GROUP) {
            const vec *scales = block, *biases = block + VECTORS;
            const words *packed = (const words *)(bits == 32 ? block : block + 2 * VECTORS);
            if (bits < 32 && pair == 0) OWN(prefetch)(scales, 2 * WIDTH * 4);
            vec sums[MAX_ROWS][2] = {{{0}}};
            int end = bits == 32 ? columns : from + GROUP;
            for (int i = from; i < end; i += 32 / bits, packed += VECTORS) {
                OWN(prefetch)(packed, 2 * LANES * 4);
                words left = packed[0], right = packed[1];
                for (int j = 0; j < 32 / bits; j++) {
                    vec a = bits == 32 ? (vec)left : OWN(number)(bits, left, j);
                    vec b = bits == 32 ? (vec)right : OWN(number)(bits, right, j);
                    for (int r = 0; r < rows; r++) {
                        sums[r][0] += x[r * columns + i + j] * a;
                        sums[r][1] += x[r * columns + i + j] * b;
                    }
                }
            }
            for (int r = 0; r < rows; r++)
                for (int v = 0; v < 2; v++) {
                    vec *to = (vec *)(y + r * y_row) + pair + v;
                    if (bits == 32) *to += sums[r][v];
                    else
                        *to += scales[v] * sums[r][v] +
                               biases[v] * group_sums[r * groups + from / GROUP];
                }
            block = (const vec *)packed;
        }
    }
}

/* The same for two rows and more, up to MAX_ROWS. */
INLINE void OWN(times_some)(int bits, int rows, int columns, const float *x,
                            const float *group_sums, const void *panel, float *y, long y_row) {
#define SEVERAL(count)                                                                \
    case count:                                                                       \
        if (count <= MAX_ROWS)                                                        \
            OWN(times_several)(bits, count, columns, x, group_sums, panel, y, y_row); \
        break
    switch (rows) {
        SEVERAL(2);
        SEVERAL(3);
        SEVERAL(4);
        SEVERAL(5);
        SEVERAL(6);
        SEVERAL(7);
        SEVERAL(8);
    }
#undef SEVERAL
}

/* Define `times` of each precision; one row, the usual case, has a stack frame of its own. */
#define TIMES(bits, one)                                                                       \
    TARGET static __attribute__((noinline)) void OWN(times_some_##bits)(                       \
        int rows, int columns, const float *x, const float *group_sums, const void *panel,     \
        float *y, long y_row) {                                                                \
        OWN(times_some)(bits, rows, columns, x, group_sums, panel, y, y_row);                  \
    }                                                                                          \
    TARGET static void OWN(times_##bits)(int rows, int columns, const float *x,                \
                                         const float *group_sums, const void *panel, float *y, \
                                         long y_row) {                                         \
        if (rows == 1) one;                                                                    \
        else OWN(times_some_##bits)(rows, columns, x, group_sums, panel, y, y_row);            \
    }
TIMES(32, OWN(times_floats)(columns, x, panel, 0, y))
TIMES(8, OWN(times_packed)(8, columns, x, group_sums, panel, y))
TIMES(4, OWN(times_packed)(4, columns, x, group_sums, panel, y))
#undef TIMES

/* The place of vector v of a column: panels of gemm.h are two vectors wide. */
INLINE vec *OWN(unpacked)(float *to, int depth, int column, int v) {
    return (vec *)to + ((long)(v / 2) * depth + column) * 2 + v % 2;
}

/* `depth` columns of a panel from column `from` on → float32 in panels as gemm.h has them. */
TARGET static void OWN(unpack_32)(const void *panel, int from, int depth, float *to) {
    const vec *weights = (const vec *)panel + (long)from * VECTORS;
    for (int i = 0; i < depth; i++)
        for (int v = 0; v < VECTORS; v++) *OWN(unpacked)(to, depth, i, v) = *weights++;
}

/* For quantised ones, both are multiples of 64. */
INLINE void OWN(unpack_packed)(int bits, const void *panel, int from, int depth, float *to) {
    const vec *block = (const vec *)panel + (long)(from / GROUP) * (2 + 2 * bits) * VECTORS;
    for (int i = 0; i < depth;) {
        const vec *scales = block, *biases = block + VECTORS;
        const words *packed = (const words *)(block + 2 * VECTORS);
        OWN(prefetch)(scales, 2 * WIDTH * 4);
        for (int end = i + GROUP; i < end; i += 32 / bits, packed += VECTORS) {
            OWN(prefetch)(packed, WIDTH * 4);
            for (int j = 0; j < 32 / bits; j++)
                for (int v = 0; v < VECTORS; v++)
                    *OWN(unpacked)(to, depth, i + j, v) =
                        scales[v] * OWN(number)(bits, packed[v], j) + biases[v];
        }
        block = (const vec *)packed;
    }
}

TARGET static void OWN(unpack_8)(const void *panel, int from, int depth, float *to) {
    OWN(unpack_packed)(8, panel, from, depth, to);
}

TARGET static void OWN(unpack_4)(const void *panel, int from, int depth, float *to) {
    OWN(unpack_packed)(4, panel, from, depth, to);
}

/* y = weight · x / sqrt(mean(x²) + eps) */
TARGET static void OWN(norm)(int size, const float *x, const float *weight, float eps, float *y) {
    float squares[LANES] = {0}, total = 0;
    int i = 0;
    for (; i + LANES <= size; i += LANES)
        for (int j = 0; j < LANES; j++) squares[j] += x[i + j] * x[i + j];
    for (; i < size; i++) total += x[i] * x[i];
    for (int j = 0; j < LANES; j++) total += squares[j];
    float scale = 1 / sqrtf(total / (float)size + eps);
    for (i = 0; i < size; i++) y[i] = x[i] * scale * weight[i];
}

/* y = up · gate · σ(gate) */
TARGET static void OWN(swiglu)(int size, const float *gate, const float *up, float *y) {
    for (int i = 0; i < size; i++) {
        float v = gate[i], e = exp_negative(v < 0 ? v : -v);
        y[i] = up[i] * v * (v < 0 ? e : 1) / (1 + e);
    }
}

/* Turn scores, a multiple of 32 of them, into e^(score - best), where best is the highest so far.
   Returns the factor by which the sums of earlier positions shrink. */
INLINE float OWN(softmax_run)(float *scores, int count, float *best, float *total) {
    float highs[LANES], sums[LANES] = {0};
    for (int j = 0; j < LANES; j++) highs[j] = *best;
    for (int i = 0; i < count; i += LANES)
        for (int j = 0; j < LANES; j++)
            highs[j] = scores[i + j] > highs[j] ? scores[i + j] : highs[j];
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++)
            highs[j] = highs[j + half] > highs[j] ? highs[j + half] : highs[j];
    for (int i = 0; i < count; i += LANES)
        for (int j = 0; j < LANES; j++) {
            scores[i + j] = exp_negative(scores[i + j] - highs[0]);
            sums[j] += scores[i + j];
        }
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++) sums[j] += sums[j + half];
    float shrink = exp_negative(*best - highs[0]);
    *best = highs[0];
    *total = *total * shrink + sums[0];
    return shrink;
}

/* For `parts` vectors of channels: sums = shrink · sums + weights (count) · values (count, depth)
 */
INLINE void OWN(add_values)(int parts, int count, int depth, const float *weights,
                            const float *values, float shrink, float *sums) {
    enum { RUNS = 2 };
    vec found[RUNS][4] = {{{0}}};
    int p = 0;
    for (; p + RUNS <= count; p += RUNS)
        for (int t = 0; t < RUNS; t++, values += depth)
            for (int v = 0; v < parts; v++)
                found[t][v] += weights[p + t] * ((const vec *)values)[v];
    if (p < count)
        for (int v = 0; v < parts; v++) found[0][v] += weights[p] * ((const vec *)values)[v];
    for (int v = 0; v < parts; v++)
        ((vec *)sums)[v] = ((vec *)sums)[v] * shrink + (found[0][v] + found[1][v]);
}

/* Attend from a few heads to the positions whose keys and values they share, a run of them at a
   time: queries (heads, dim) → out (heads, dim). Keys are panels of float32, values (length,
   padded). */
TARGET static void OWN(attend)(int heads, int dim, int padded, const float *queries,
                               const float *keys, const float *values, int length, float *out) {
    enum { RUN = 128 };
    float sums[MAX_HEADS][MAX_HEAD_DIM], best[MAX_HEADS], total[MAX_HEADS];
    for (int h = 0; h < heads; h++) {
        best[h] = NO_SCORE, total[h] = 0;
        for (int i = 0; i < padded; i++) sums[h][i] = 0;
    }
    for (int from = 0; from < length; from += RUN) {
        int count = min(RUN, length - from);
        for (int h = 0; h < heads; h++) {
            float scores[RUN] = {0};
            int p = 0, i = 0;
            for (; p < count; p += WIDTH) OWN(times_floats)
            (dim, queries + h * dim, keys + (long)(from + p) * dim, 1, scores + p);
            for (int beyond = count; beyond < p; beyond++) scores[beyond] = NO_SCORE;
            float shrink = OWN(softmax_run)(scores, p, &best[h], &total[h]);
            const float *run = values + (long)from * padded;
            for (; i + 4 * LANES <= padded; i += 4 * LANES)
                OWN(add_values)(4, count, padded, scores, run + i, shrink, sums[h] + i);
            for (; i < padded; i += LANES)
                OWN(add_values)(1, count, padded, scores, run + i, shrink, sums[h] + i);
        }
    }
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < dim; i++) out[h * dim + i] = sums[h][i] / total[h];
}

#undef PASTE_
#undef PASTE
#undef OWN
#undef vec
#undef words
#undef INLINE
#undef VECTORS
#undef CHAINS
#undef NAME
#undef TARGET
#undef LANES
#undef MAX_ROWS
#undef BYTE
#undef NIBBLE
