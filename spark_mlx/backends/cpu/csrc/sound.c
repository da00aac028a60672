/* Convolutions as products of windows of the sequence with weights, and the elementwise chains.

   Work is cut along time; a tile of the sequence stays in the cache of its core. */
#include "sound.h"

#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "curves.h"
#include "pool.h"
#include "product.h"

/* Rows of a tile, so that one of `channels` fills about half of a core's second-level cache. */
static int tile_frames(int channels) { return most(64, least(4096, 98304 / channels)); }

/* ---- Snake ---- */

FOR_EACH_CPU static void snake_rows(const float *x, const float *restrict alpha, float *y, int frames, int channels) {
    enum { WIDTH = 256 };
    float scale[WIDTH], inverse[WIDTH];
    for (int start = 0; start < channels; start += WIDTH) {
        int width = least(WIDTH, channels - start);
        for (int c = 0; c < width; c++) {
            scale[c] = alpha[start + c] * TURNS;
            inverse[c] = 1 / (alpha[start + c] + 1e-9f);
        }
        for (int t = 0; t < frames; t++) {
            const float *from = x + (long)t * channels + start;
            float *to = y + (long)t * channels + start;
            for (int c = 0; c < width; c++) to[c] = from[c] + sine_squared(from[c] * scale[c]) * inverse[c];
        }
    }
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

void sound_snake(const float *x, const float *alpha, float *y, long frames, int channels) {
    snake_job job = {x, alpha, y, frames, channels, most(1, BLOCK / channels)};
    pool_run(snake_task, &job, (int)((frames + job.rows - 1) / job.rows));
}

/* ---- GELU and SiLU ---- */

FOR_EACH_CPU static void gelu_block(const float *restrict x, float *restrict y, int size) {
    for (int i = 0; i < size; i++) {
        float v = x[i], bell = exp_negative(-0.5f * v * v);
        y[i] = v * normal(v, bell);
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

void sound_gelu(const float *x, float *y, long size) {
    block_job job = {x, y, size, gelu_block};
    pool_run(block_task, &job, (int)((size + BLOCK - 1) / BLOCK));
}

void sound_silu(const float *x, float *y, long size) {
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
        memset(x + seen, 0, 4ul * (job->columns - seen));
    }
}

void sound_softmax(float *x, long rows, int columns, int queries) {
    softmax_job job = {x, rows, columns, queries, most(1, BLOCK / columns)};
    pool_run(softmax_task, &job, (int)((rows + job.part - 1) / job.part));
}

/* ---- Convolution ---- */

static void fill_rows(float *y, int rows, int channels, const float *bias) {
    for (int t = 0; t < rows; t++) memcpy(y + (long)t * channels, bias, 4ul * channels);
}

void sound_window(const float *x, int frames, int channels, int from, int count, float *to) {
    int begin = least(count, most(0, -from)), end = most(begin, least(count, frames - from));
    memset(to, 0, 4ul * channels * begin);
    if (end > begin)
        memcpy(to + (long)begin * channels, x + (long)(from + begin) * channels,
               4ul * channels * (end - begin));
    memset(to + (long)end * channels, 0, 4ul * channels * (count - end));
}

/* How many frames of a sequence a task takes: a tile, or a share that gives each core some. */
static int task_frames(int batch, int frames, int channels) {
    int shares = most(1, pool_threads() / batch);
    return most(12, least(tile_frames(channels), (frames + shares - 1) / shares));
}

typedef struct {
    const float *x, *bias;
    const packed *weights; /* one for each group */
    float *y;
    conv_sizes sizes;
    int rows, tiles; /* frames of a tile, and how many of them a sequence has */
    int *failed;
} conv_job;

static void conv_task(void *context, int index) {
    const conv_job *job = context;
    const conv_sizes *size = &job->sizes;
    const float *x = job->x + (long)(index / job->tiles) * size->frames * size->in;
    float *whole = job->y + (long)(index / job->tiles) * size->out_frames * size->out;
    int from = index % job->tiles * job->rows, rows = least(job->rows, size->out_frames - from);
    int reach = (rows - 1) * size->stride + (size->kernel - 1) * size->dilation + 1;
    float *window = malloc(4ul * size->in * reach);
    if (window == NULL) {
        *job->failed = 1;
        return;
    }
    sound_window(x, size->frames, size->in, from * size->stride - size->padding, reach, window);
    float *y = whole + (long)from * size->out;
    fill_rows(y, rows, size->out, job->bias);
    int in = size->in / size->groups, out = size->out / size->groups;
    for (int g = 0; g < size->groups; g++)
        product_add(&job->weights[g], 0, 1, size->kernel, rows, window + g * in,
                    (long)size->stride * size->in, (long)size->dilation * size->in, y + g * out,
                    size->out);
    free(window);
}

int sound_conv(const float *x, const float *weight, const float *bias, float *y,
               const conv_sizes *size) {
    int groups = size->groups, in = size->in / groups, out = size->out / groups;
    packed *weights = calloc(groups, sizeof *weights);
    int failed = weights == NULL;
    for (int g = 0; g < groups && !failed; g++)
        failed = product_pack(&weights[g], weight + (long)g * out * size->kernel * in, out,
                              size->kernel, in) != 0;
    if (!failed) {
        int rows = task_frames(size->batch, size->out_frames, most(size->in * size->stride, size->out));
        int tiles = (size->out_frames + rows - 1) / rows;
        conv_job job = {x, bias, weights, y, *size, rows, tiles, &failed};
        pool_run(conv_task, &job, size->batch * tiles);
    }
    for (int g = 0; weights != NULL && g < groups; g++) product_free(&weights[g]);
    free(weights);
    return failed ? -1 : 0;
}

/* ---- Transposed convolution ---- */

/* Output frame q · stride + r - padding, 0 ≤ r < stride, is the sum over i of input frame q - i with
   tap r + i · stride. A task takes some q, and all r. */
static void conv_transpose_task(void *context, int index) {
    const conv_job *job = context;
    const conv_sizes *size = &job->sizes;
    const float *x = job->x + (long)(index / job->tiles) * size->frames * size->in;
    float *whole = job->y + (long)(index / job->tiles) * size->out_frames * size->out;
    int stride = size->stride, before = (size->kernel - 1) / stride;
    int last = (size->out_frames - 1 + size->padding) / stride + 1;
    int from = index % job->tiles * job->rows, to = least(from + job->rows, last);
    float *window = malloc(4ul * size->in * (to - from + before));
    if (window == NULL) {
        *job->failed = 1;
        return;
    }
    sound_window(x, size->frames, size->in, from - before, to - from + before, window);
    for (int r = 0; r < stride; r++) {
        int taps = (size->kernel - r + stride - 1) / stride, shift = r - size->padding;
        int begin = from, end = to; /* those q whose output frame exists */
        while (begin < end && begin * stride + shift < 0) begin++;
        while (end > begin && (end - 1) * stride + shift >= size->out_frames) end--;
        if (begin == end) continue;
        float *y = whole + ((long)begin * stride + shift) * size->out;
        for (int q = begin; q < end; q++)
            memcpy(y + (long)(q - begin) * stride * size->out, job->bias, 4ul * size->out);
        if (taps > 0)
            product_add(job->weights, r, stride, taps, end - begin,
                        window + (long)(begin - from + before) * size->in, size->in, -size->in, y,
                        (long)stride * size->out);
    }
    free(window);
}

int sound_conv_transpose(const float *x, const float *weight, const float *bias, float *y,
                         const conv_sizes *size) {
    packed weights;
    if (product_pack(&weights, weight, size->out, size->kernel, size->in) != 0) return -1;
    int failed = 0, steps = (size->out_frames - 1 + size->padding) / size->stride + 1;
    int rows = task_frames(size->batch, steps, size->in), tiles = (steps + rows - 1) / rows;
    conv_job job = {x, bias, &weights, y, *size, rows, tiles, &failed};
    pool_run(conv_transpose_task, &job, size->batch * tiles);
    product_free(&weights);
    return failed ? -1 : 0;
}

/* ---- Residual unit ---- */

typedef struct {
    const float *x, *alpha1, *bias1, *alpha2, *bias2;
    const packed *wide, *narrow;
    float *y;
    int frames, channels, kernel, dilation, rows;
    int *failed;
} unit_job;

static void unit_task(void *context, int index) {
    const unit_job *job = context;
    int channels = job->channels, reach = (job->kernel - 1) / 2 * job->dilation;
    int from = index * job->rows, rows = least(job->rows, job->frames - from);
    int width = rows + 2 * reach;
    float *input = malloc(4ul * channels * (width + rows));
    if (input == NULL) {
        *job->failed = 1;
        return;
    }
    sound_window(job->x, job->frames, channels, from - reach, width, input);
    snake_rows(input, job->alpha1, input, width, channels); /* which leaves zero as it is */
    float *hidden = input + (long)width * channels;
    fill_rows(hidden, rows, channels, job->bias1);
    product_add(job->wide, 0, 1, job->kernel, rows, input, channels, (long)job->dilation * channels,
                hidden, channels);
    snake_rows(hidden, job->alpha2, hidden, rows, channels);

    const float *x = job->x + (long)from * channels;
    float *y = job->y + (long)from * channels;
    for (int t = 0; t < rows; t++)
        for (int c = 0; c < channels; c++)
            y[(long)t * channels + c] = x[(long)t * channels + c] + job->bias2[c];
    product_add(job->narrow, 0, 1, 1, rows, hidden, channels, 0, y, channels);
    free(input);
}

int sound_residual_unit(const float *x, int frames, int channels, const float *alpha1,
                        const float *wide, const float *bias1, int kernel, int dilation,
                        const float *alpha2, const float *narrow, const float *bias2, float *y) {
    packed first = {0}, second = {0};
    int failed = product_pack(&first, wide, channels, kernel, channels) != 0 ||
                 product_pack(&second, narrow, channels, 1, channels) != 0;
    if (!failed) {
        int rows = task_frames(1, frames, channels);
        unit_job job = {x, alpha1, bias1,    alpha2, bias2,    &first, &second,
                        y, frames, channels, kernel, dilation, rows,   &failed};
        pool_run(unit_task, &job, (frames + rows - 1) / rows);
    }
    product_free(&first);
    product_free(&second);
    return failed ? -1 : 0;
}
