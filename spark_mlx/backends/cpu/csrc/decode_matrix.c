/* Packs weights for decoding, and multiplies with them: a few rows by the kernels that read weights
   as they are packed, more by turning a panel into float32 piece by piece just before it is used. */
#include "decode_matrix.h"

#include <stdlib.h>

#include "common.h"
#include "decode_kernel.h"
#include "pool.h"
#include "product.h"

static format format_of(const matrix *m) {
    return m->bits == 32 ? FLOATS : m->bits == 8 ? BYTES : NIBBLES;
}

/* ---- Packing ---- */

typedef struct {
    const matrix *m;
    const float *weight, *scales, *biases;
} pack_job;

/* One row of scales or biases for each lane → the first 32 numbers of each group's block. */
static void pack_factors(const float *from, int rows, int groups, long block, float *to) {
    for (int group = 0; group < groups; group++)
        for (int n = 0; n < WIDTH; n++)
            to[group * block + n] = n < rows ? from[(long)n * groups + group] : 0;
}

static void pack_task(void *context, int panel) {
    const pack_job *job = context;
    const matrix *m = job->m;
    int from = panel * WIDTH, rows = least(WIDTH, m->rows - from);
    float *to = m->data + panel * m->panel_size;
    if (m->bits == 32) {
        product_turn(job->weight + (long)from * m->columns, m->columns, rows, m->columns, to, WIDTH);
        return;
    }
    int groups = m->columns / GROUP, words = GROUP * m->bits / 32;
    long block = (long)(2 + words) * WIDTH, row = (long)groups * words;
    pack_factors(job->scales + (long)from * groups, rows, groups, block, to);
    pack_factors(job->biases + (long)from * groups, rows, groups, block, to + WIDTH);
    for (int group = 0; group < groups; group++)
        product_turn(job->weight + from * row + group * words, row, rows, words,
                     to + group * block + 2 * WIDTH, WIDTH);
}

int matrix_pack(matrix *m, int rows, int columns, int bits, const void *weight,
                const float *scales, const float *biases) {
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
    if (count > MOST_TOGETHER) return;
    for (; count > 0; count--, rows += columns % GROUP)
        for (int group = 0; group < columns / GROUP; group++, rows += GROUP) {
            float parts[16] = {0}, sum = 0;
            for (int i = 0; i < GROUP; i++) parts[i % 16] += rows[i];
            for (int i = 0; i < 16; i++) sum += parts[i];
            *sums++ = sum;
        }
}

/* Of more than MOST_TOGETHER rows. Depth by depth a panel becomes float32 in the cache and meets all
   of them. */
static void add_to_rows(const matrix *m, int panel, const operand *x, float *y) {
    enum { DEPTH = 512 };
    _Alignas(64) float buffer[DEPTH * WIDTH];
    const float *packed = m->data + panel * m->panel_size;
    panel_unpack *unpack = decode_kernel_now()->unpack[format_of(m)];
    int width = product_width(), from = panel * WIDTH, columns = least(WIDTH, m->rows - from);
    for (int i = 0; i < m->columns; i += DEPTH) {
        int depth = least(DEPTH, m->columns - i);
        unpack(packed, i, depth, buffer);
        for (int n = 0; n < columns; n += width)
            product_panel(x->count, least(width, columns - n), depth, x->rows + i, m->columns,
                          buffer + (long)n * depth, y + from + n, m->rows);
    }
}

void matrix_add(const matrix *m, int panel, const operand *x, float *y) {
    if (x->count > MOST_TOGETHER) {
        add_to_rows(m, panel, x, y);
        return;
    }
    const decode_kernel *kernel = decode_kernel_now();
    panel_times *times = kernel->times[format_of(m)];
    const float *packed = m->data + panel * m->panel_size;
    int from = panel * WIDTH, columns = least(WIDTH, m->rows - from);
    /* Where registers do not hold all rows, the panel is read from the cache again. */
    int parts = (x->count + kernel->together - 1) / kernel->together;
    for (int part = 0; part < parts; part++) {
        int row = x->count * part / parts, count = x->count * (part + 1) / parts - row;
        const float *rows = x->rows + (long)row * m->columns;
        const float *sums = x->sums + (long)row * (m->columns / GROUP);
        float *to = y + (long)row * m->rows + from;
        if (columns == WIDTH) {
            times(count, m->columns, rows, sums, packed, to, m->rows);
            continue;
        }
        float last[MOST_TOGETHER][WIDTH] = {{0}};
        times(count, m->columns, rows, sums, packed, last[0], WIDTH);
        for (int i = 0; i < count; i++)
            for (int n = 0; n < columns; n++) to[(long)i * m->rows + n] += last[i][n];
    }
}

void matrix_set(const matrix *m, int panel, const operand *x, const float *bias, float *y) {
    int from = panel * WIDTH, to = least(from + WIDTH, m->rows);
    for (int row = 0; row < x->count; row++)
        for (int n = from; n < to; n++) y[(long)row * m->rows + n] = bias == NULL ? 0 : bias[n];
    matrix_add(m, panel, x, y);
}

/* Each thread gets as many parts, several where they are not too small, so that one that is held up
   leaves its last ones to the others. */
int matrix_parts(int panels) {
    enum { SMALLEST = 8, MOST = 4 };
    int threads = pool_threads();
    return least(panels, threads * most(1, least(MOST, panels / (SMALLEST * threads))));
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

int matrix_times(const matrix *m, int count, const float *x, float *y) {
    float *sums = malloc(sizeof *sums * (MOST_TOGETHER * (m->columns / GROUP) + 1));
    if (sums == NULL) return -1;
    matrix_sums(count, x, m->columns, sums);
    times_job job = {m, {count, x, sums}, y, matrix_parts(m->panels)};
    pool_run(times_task, &job, job.parts);
    free(sums);
    return 0;
}
