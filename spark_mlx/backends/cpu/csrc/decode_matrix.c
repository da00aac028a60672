/* Pack weights for decoding and multiply with them; see decode_matrix.h.

   A few rows go to the kernels that read weights as they are packed. For more, a panel is unpacked
   to float32 piece by piece just before it is used. */
#include "decode_matrix.h"

#include <stdlib.h>

#include "common.h"
#include "decode_kernels.h"
#include "gemm.h"
#include "pool.h"

static format format_of(const matrix *m) {
    return m->bits == 32 ? FLOATS : m->bits == 8 ? BYTES : NIBBLES;
}

/* ---- Packing ---- */

typedef struct {
    const matrix *m;
    const float *weight, *scales, *biases;
} pack_job;

/* Copy a row of scales or biases for each lane to the first 32 numbers of each group's block. */
static void pack_factors(const float *from, int rows, int groups, long block, float *to) {
    for (int group = 0; group < groups; group++)
        for (int n = 0; n < WIDTH; n++)
            to[group * block + n] = n < rows ? from[(long)n * groups + group] : 0;
}

static void pack_task(void *context, int panel) {
    const pack_job *job = context;
    const matrix *m = job->m;
    int from = panel * WIDTH, rows = min(WIDTH, m->rows - from);
    float *to = m->data + panel * m->panel_size;
    if (m->bits == 32) {
        gemm_transpose(job->weight + (long)from * m->columns, m->columns, rows, m->columns, to,
                       WIDTH);
        return;
    }
    int groups = m->columns / GROUP, words = GROUP * m->bits / 32;
    long block = (long)(2 + words) * WIDTH, row = (long)groups * words;
    pack_factors(job->scales + (long)from * groups, rows, groups, block, to);
    pack_factors(job->biases + (long)from * groups, rows, groups, block, to + WIDTH);
    for (int group = 0; group < groups; group++)
        gemm_transpose(job->weight + from * row + group * words, row, rows, words,
                       to + group * block + 2 * WIDTH, WIDTH);
}

int matrix_pack(matrix *m, int rows, int columns, int bits, const void *weight, const float *scales,
                const float *biases) {
    long words = bits == 32 ? columns : columns / GROUP * (2 + GROUP * bits / 32);
    *m = (matrix){rows, columns, bits, (rows + WIDTH - 1) / WIDTH, words * WIDTH, NULL};
    m->data = aligned_alloc(64, (size_t)m->panels * m->panel_size * sizeof *m->data);
    if (m->data == NULL) return -1;
    pack_job job = {m, weight, scales, biases};
    pool_run(pack_task, &job, m->panels);
    return 0;
}

void matrix_free(matrix *m) { free(m->data); }

/* ---- Products ---- */

void matrix_sums(int count, const float *rows, int columns, float *sums) {
    if (count > MAX_PACKED_ROWS) return;
    for (; count > 0; count--, rows += columns % GROUP)
        for (int group = 0; group < columns / GROUP; group++, rows += GROUP) {
            float parts[16] = {0}, sum = 0;
            for (int i = 0; i < GROUP; i++) parts[i % 16] += rows[i];
            for (int i = 0; i < 16; i++) sum += parts[i];
            *sums++ = sum;
        }
}

/* Multiply more than MAX_PACKED_ROWS rows: piece by piece, the panel is unpacked into the cache and
   multiplied with all of them. */
static void add_to_many_rows(const matrix *m, int panel, const operand *x, float *y) {
    enum { DEPTH = 512 };
    _Alignas(64) float buffer[DEPTH * WIDTH];
    const float *packed = m->data + panel * m->panel_size;
    panel_unpack *unpack = decode_kernel_now()->unpack[format_of(m)];
    int width = gemm_panel_width(), from = panel * WIDTH, columns = min(WIDTH, m->rows - from);
    for (int i = 0; i < m->columns; i += DEPTH) {
        int depth = min(DEPTH, m->columns - i);
        unpack(packed, i, depth, buffer);
        for (int n = 0; n < columns; n += width)
            gemm_panel(x->count, min(width, columns - n), depth, x->rows + i, m->columns,
                       buffer + (long)n * depth, y + from + n, m->rows);
    }
}

void matrix_add(const matrix *m, int panel, const operand *x, float *y) {
    if (x->count > MAX_PACKED_ROWS) {
        add_to_many_rows(m, panel, x, y);
        return;
    }
    const decode_kernel *kernel = decode_kernel_now();
    panel_times *times = kernel->times[format_of(m)];
    const float *packed = m->data + panel * m->panel_size;
    int from = panel * WIDTH, columns = min(WIDTH, m->rows - from);
    /* Where registers do not hold all rows, the panel is read from the cache again. */
    int parts = (x->count + kernel->max_rows - 1) / kernel->max_rows;
    for (int part = 0; part < parts; part++) {
        int row = x->count * part / parts, count = x->count * (part + 1) / parts - row;
        const float *rows = x->rows + (long)row * m->columns;
        const float *sums = x->sums + (long)row * (m->columns / GROUP);
        float *to = y + (long)row * m->rows + from;
        if (columns == WIDTH) {
            times(count, m->columns, rows, sums, packed, to, m->rows);
            continue;
        }
        float last[MAX_PACKED_ROWS][WIDTH] = {{0}};
        times(count, m->columns, rows, sums, packed, last[0], WIDTH);
        for (int i = 0; i < count; i++)
            for (int n = 0; n < columns; n++) to[(long)i * m->rows + n] += last[i][n];
    }
}

void matrix_set(const matrix *m, int panel, const operand *x, const float *bias, float *y) {
    int from = panel * WIDTH, to = min(from + WIDTH, m->rows);
    for (int row = 0; row < x->count; row++)
        for (int n = from; n < to; n++) y[(long)row * m->rows + n] = bias == NULL ? 0 : bias[n];
    matrix_add(m, panel, x, y);
}

/* Give each thread several parts where these are not too small, so that a thread that is held up
   leaves its last ones to the others. */
int matrix_parts(int panels) {
    enum { MIN_PANELS = 8, MAX_PARTS = 4 };
    int threads = pool_threads();
    return min(panels, threads * max(1, min(MAX_PARTS, panels / (MIN_PANELS * threads))));
}

typedef struct {
    const matrix *m;
    operand x;
    float *y;
    int parts;
} times_job;

static void times_task(void *context, int index) {
    const times_job *job = context;
    int end = matrix_part(job->m->panels, index + 1, job->parts);
    for (int panel = matrix_part(job->m->panels, index, job->parts); panel < end; panel++)
        matrix_set(job->m, panel, &job->x, NULL, job->y);
}

int matrix_multiply(const matrix *m, int count, const float *x, float *y) {
    float *sums = malloc(sizeof *sums * (MAX_PACKED_ROWS * (m->columns / GROUP) + 1));
    if (sums == NULL) return -1;
    matrix_sums(count, x, m->columns, sums);
    times_job job = {m, {count, x, sums}, y, matrix_parts(m->panels)};
    pool_run(times_task, &job, job.parts);
    free(sums);
    return 0;
}
