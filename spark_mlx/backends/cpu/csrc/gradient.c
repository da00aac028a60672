/* Each thread of the pool takes an even share and sums into an array of its own; the sums are added
   up at the end, so that results do not depend on who was faster. */
#include "gradient.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "activations.h"
#include "codec_ops.h"
#include "common.h"
#include "fastmath.h"
#include "gemm.h"
#include "pool.h"

static void add_up(float *total, const float *parts, int count, long size) {
    memcpy(total, parts, sizeof(float) * size);
    for (int p = 1; p < count; p++)
        for (long i = 0; i < size; i++) total[i] += parts[p * size + i];
}

/* ---- Convolution ---- */

typedef struct {
    const float *x, *given;
    float *sums; /* for each task, (kernel, in, out) */
    conv_sizes sizes;
    int rows, tiles, tasks;
    _Atomic int *failed;
} conv_job;

/* One tile: by_weight[tap][i][o] += Σ_t x[t · stride + tap · dilation][i] · given[t][o]. Time is
   what is summed over, so the input is turned to lie along it, for each phase of the stride. */
static void conv_tile(const conv_job *job, int row, int from, float *window, float *turned,
                      float *sums) {
    const conv_sizes *size = &job->sizes;
    int rows = min(job->rows, size->out_frames - from), stride = size->stride, in = size->in;
    int reach = (rows - 1) * stride + (size->kernel - 1) * size->dilation + 1;
    int length = (reach + stride - 1) / stride;
    codec_window(job->x + (long)row * size->frames * in, size->frames, in,
                 from * stride - size->padding, reach, window);
    for (int phase = 0; phase < min(stride, reach); phase++)
        gemm_transpose(window + (long)phase * in, (long)stride * in,
                       (reach - phase + stride - 1) / stride, in,
                       turned + (long)phase * in * length, length);
    const float *given = job->given + ((long)row * size->out_frames + from) * size->out;
    for (int tap = 0; tap < size->kernel; tap++) {
        int offset = tap * size->dilation;
        gemm_plain(in, size->out, rows,
                   turned + (long)(offset % stride) * in * length + offset / stride, length, given,
                   size->out, sums + (long)tap * in * size->out, size->out);
    }
}

static void conv_task(void *context, int index) {
    const conv_job *job = context;
    const conv_sizes *size = &job->sizes;
    long reach = (long)job->rows * size->stride + (size->kernel - 1) * size->dilation + 1;
    float *window = malloc(sizeof(float) * size->in * (2 * reach + size->stride));
    if (window == NULL) {
        atomic_store(job->failed, 1);
        return;
    }
    float *turned = window + reach * size->in;
    float *sums = job->sums + (long)index * size->kernel * size->in * size->out;
    int units = size->batch * job->tiles;
    for (int unit = index; unit < units; unit += job->tasks)
        conv_tile(job, unit / job->tiles, unit % job->tiles * job->rows, window, turned, sums);
    free(window);
}

int gradient_conv(const float *x, const float *given, float *by_weight, const conv_sizes *size) {
    int rows = max(64, min(512, 65536 / (size->in * size->stride)));
    int tiles = (size->out_frames + rows - 1) / rows;
    int tasks = min(pool_threads(), size->batch * tiles);
    _Atomic int failed = 0;
    long weights = (long)size->kernel * size->in * size->out;
    float *sums = calloc((size_t)tasks * weights, sizeof *sums);
    if (sums == NULL) return -1;
    conv_job job = {x, given, sums, *size, rows, tiles, tasks, &failed};
    pool_run(conv_task, &job, tasks);
    add_up(by_weight, sums, tasks, weights);
    free(sums);
    return failed ? -1 : 0;
}

/* ---- Snake ---- */

typedef struct {
    const float *x, *alpha, *given;
    float *by_x, *sums;
    long frames, share;
    int channels;
} snake_job;

/* With y = x + sin²(αx)/α: dy/dx = 1 + sin(2αx), and dy/dα = (x · sin(2αx) - sin²(αx)/α)/α. The
   sine comes from the same polynomial, for sin(2αx) = 2 · sin²(αx + π/4) - 1. */
FOR_EACH_CPU static void snake_block(const float *x, const float *restrict alpha,
                                     const float *restrict given, float *restrict by_x,
                                     float *restrict by_alpha, long frames, int channels) {
    enum { WIDTH = 256 };
    float scale[WIDTH], inverse[WIDTH], sums[WIDTH];
    for (int start = 0; start < channels; start += WIDTH) {
        int width = min(WIDTH, channels - start);
        for (int c = 0; c < width; c++) {
            scale[c] = alpha[start + c] * HALF_TURNS;
            inverse[c] = 1 / (alpha[start + c] + SNAKE_EPSILON);
            sums[c] = 0;
        }
        for (long t = 0; t < frames; t++) {
            const float *in = x + t * channels + start, *g = given + t * channels + start;
            float *out = by_x + t * channels + start;
            for (int c = 0; c < width; c++) {
                float turns = in[c] * scale[c];
                float slope = 2 * sine_squared(turns + 0.25f) - 1;
                sums[c] += g[c] * (in[c] * slope - sine_squared(turns) * inverse[c]);
                out[c] = g[c] * (1 + slope);
            }
        }
        for (int c = 0; c < width; c++) by_alpha[start + c] = sums[c] * inverse[c];
    }
}

static void snake_task(void *context, int index) {
    const snake_job *job = context;
    long from = index * job->share, frames = job->frames - from;
    long offset = from * job->channels;
    snake_block(job->x + offset, job->alpha, job->given + offset, job->by_x + offset,
                job->sums + (long)index * job->channels, frames < job->share ? frames : job->share,
                job->channels);
}

int gradient_snake(const float *x, const float *alpha, const float *given, float *by_x,
                   float *by_alpha, long frames, int channels) {
    int tasks = frames < pool_threads() ? 1 : pool_threads();
    float *sums = calloc((size_t)tasks * channels, sizeof *sums);
    if (sums == NULL) return -1;
    long share = (frames + tasks - 1) / tasks;
    snake_job job = {x, alpha, given, by_x, sums, frames, share, channels};
    pool_run(snake_task, &job, tasks);
    add_up(by_alpha, sums, tasks, channels);
    free(sums);
    return 0;
}

/* ---- GELU and SiLU ---- */

FOR_EACH_CPU static void gelu_block(const float *restrict x, const float *restrict given,
                                    float *restrict by_x, int size) {
    for (int i = 0; i < size; i++) {
        float v = x[i], bell = exp_negative(-0.5f * v * v);
        by_x[i] = given[i] * (normal_cdf(v, bell) + v * bell * 0.3989422804014327f);
    }
}

FOR_EACH_CPU static void silu_block(const float *restrict x, const float *restrict given,
                                    float *restrict by_x, int size) {
    for (int i = 0; i < size; i++) {
        float v = x[i], e = exp_negative(v < 0 ? v : -v), share = (v < 0 ? e : 1) / (1 + e);
        by_x[i] = given[i] * share * (1 + v * (1 - share));
    }
}

typedef struct {
    const float *x, *given;
    float *by_x;
    long size;
    void (*compute)(const float *, const float *, float *, int);
} block_job;

static void block_task(void *context, int index) {
    const block_job *job = context;
    long from = (long)index * BLOCK, size = job->size - from;
    job->compute(job->x + from, job->given + from, job->by_x + from,
                 size < BLOCK ? (int)size : BLOCK);
}

void gradient_gelu(const float *x, const float *given, float *by_x, long size) {
    block_job job = {x, given, by_x, size, gelu_block};
    pool_run(block_task, &job, (int)((size + BLOCK - 1) / BLOCK));
}

void gradient_silu(const float *x, const float *given, float *by_x, long size) {
    block_job job = {x, given, by_x, size, silu_block};
    pool_run(block_task, &job, (int)((size + BLOCK - 1) / BLOCK));
}

/* ---- Softmax ---- */

FOR_EACH_CPU static void softmax_rows(const float *restrict y, float *restrict given, int rows,
                                      int columns) {
    for (int r = 0; r < rows; r++, y += columns, given += columns) {
        float parts[16] = {0}, total = 0;
        int i = 0;
        for (; i + 16 <= columns; i += 16)
            for (int j = 0; j < 16; j++) parts[j] += y[i + j] * given[i + j];
        for (; i < columns; i++) total += y[i] * given[i];
        for (int j = 0; j < 16; j++) total += parts[j];
        for (i = 0; i < columns; i++) given[i] = y[i] * (given[i] - total);
    }
}

typedef struct {
    const float *y;
    float *given;
    long rows;
    int columns, part;
} softmax_job;

static void softmax_task(void *context, int index) {
    const softmax_job *job = context;
    long from = (long)index * job->part, rows = job->rows - from;
    softmax_rows(job->y + from * job->columns, job->given + from * job->columns,
                 rows < job->part ? (int)rows : job->part, job->columns);
}

void gradient_softmax(const float *y, float *given, long rows, int columns) {
    softmax_job job = {y, given, rows, columns, max(1, BLOCK / columns)};
    pool_run(softmax_task, &job, (int)((rows + job.part - 1) / job.part));
}
