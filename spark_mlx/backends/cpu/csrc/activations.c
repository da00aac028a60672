/* Activations of the codec and softmax, by polynomials that compile to vector code; see
   activations.h. A task takes a run of rows or of numbers. */
#include "activations.h"

#include <string.h>

#include "common.h"
#include "fastmath.h"
#include "pool.h"

/* ---- Snake ---- */

FOR_EACH_CPU static void snake_block(const float *x, const float *restrict alpha, float *y,
                                     int frames, int channels) {
    enum { WIDTH = 256 };
    float scale[WIDTH], inverse[WIDTH];
    for (int start = 0; start < channels; start += WIDTH) {
        int width = min(WIDTH, channels - start);
        for (int c = 0; c < width; c++) {
            scale[c] = alpha[start + c] * HALF_TURNS;
            inverse[c] = 1 / (alpha[start + c] + SNAKE_EPSILON);
        }
        for (int t = 0; t < frames; t++) {
            const float *from = x + (long)t * channels + start;
            float *to = y + (long)t * channels + start;
            for (int c = 0; c < width; c++)
                to[c] = from[c] + sine_squared(from[c] * scale[c]) * inverse[c];
        }
    }
}

void snake_rows(const float *x, const float *alpha, float *y, int frames, int channels) {
    snake_block(x, alpha, y, frames, channels);
}

typedef struct {
    const float *x, *alpha;
    float *y;
    long frames;
    int channels, rows;
} snake_job;

static void snake_task(void *context, int index) {
    const snake_job *job = context;
    long from = (long)index * job->rows, left = job->frames - from;
    long offset = from * job->channels;
    snake_rows(job->x + offset, job->alpha, job->y + offset,
               left < job->rows ? (int)left : job->rows, job->channels);
}

void snake(const float *x, const float *alpha, float *y, long frames, int channels) {
    snake_job job = {x, alpha, y, frames, channels, max(1, BLOCK / channels)};
    pool_run(snake_task, &job, (int)((frames + job.rows - 1) / job.rows));
}

/* ---- GELU and SiLU ---- */

FOR_EACH_CPU static void gelu_block(const float *restrict x, float *restrict y, int size) {
    for (int i = 0; i < size; i++) {
        float v = x[i], bell = exp_negative(-0.5f * v * v);
        y[i] = v * normal_cdf(v, bell);
    }
}

FOR_EACH_CPU static void silu_block(const float *restrict x, float *restrict y, int size) {
    for (int i = 0; i < size; i++) {
        float v = x[i];
        float e = exp_negative(v < 0 ? v : -v); /* σ(|v|) = 1 / (1 + e), σ(-|v|) = e / (1 + e) */
        y[i] = v * (v < 0 ? e : 1) / (1 + e);
    }
}

typedef struct {
    const float *x;
    float *y;
    long size;
    void (*compute)(const float *, float *, int);
} block_job;

static void block_task(void *context, int index) {
    const block_job *job = context;
    long from = (long)index * BLOCK;
    long size = job->size - from;
    job->compute(job->x + from, job->y + from, size < BLOCK ? (int)size : BLOCK);
}

void gelu(const float *x, float *y, long size) {
    block_job job = {x, y, size, gelu_block};
    pool_run(block_task, &job, (int)((size + BLOCK - 1) / BLOCK));
}

void silu(const float *x, float *y, long size) {
    block_job job = {x, y, size, silu_block};
    pool_run(block_task, &job, (int)((size + BLOCK - 1) / BLOCK));
}

/* ---- Softmax ---- */

FOR_EACH_CPU static void softmax_row(float *x, int columns) {
    float highest = x[0];
    for (int i = 1; i < columns; i++) highest = x[i] > highest ? x[i] : highest;
    for (int i = 0; i < columns; i++) x[i] = exp_negative(x[i] - highest);
    float totals[16] = {0}, total = 0;
    int i = 0;
    for (; i + 16 <= columns; i += 16)
        for (int j = 0; j < 16; j++) totals[j] += x[i + j];
    for (; i < columns; i++) total += x[i];
    for (int j = 0; j < 16; j++) total += totals[j];
    float inverse = 1 / total;
    for (i = 0; i < columns; i++) x[i] *= inverse;
}

typedef struct {
    float *x;
    long rows;
    int columns, queries, part;
} softmax_job;

static void softmax_task(void *context, int index) {
    const softmax_job *job = context;
    long from = (long)index * job->part, to = from + job->part;
    for (long row = from; row < to && row < job->rows; row++) {
        float *x = job->x + row * job->columns;
        int seen = job->columns;
        if (job->queries > 0) seen += 1 + (int)(row % job->queries) - job->queries;
        softmax_row(x, seen);
        memset(x + seen, 0, sizeof(float) * (job->columns - seen));
    }
}

void softmax(float *x, long rows, int columns, int queries) {
    softmax_job job = {x, rows, columns, queries, max(1, BLOCK / columns)};
    pool_run(softmax_task, &job, (int)((rows + job.part - 1) / job.part));
}
