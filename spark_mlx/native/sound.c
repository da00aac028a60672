/* Convolutions as products of windows of the sequence with weights, and the elementwise chains.

   Work is cut along time; a tile of the sequence stays in the cache of its core. */
#include "sound.h"

#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "pool.h"
#include "product.h"

enum { BLOCK = 1 << 14 }; /* numbers of an elementwise task */

/* Rows of a tile, so that one of `channels` fills about half of a core's second-level cache. */
static int tile_frames(int channels) { return most(64, least(4096, 98304 / channels)); }

/* ---- Snake ---- */

/* sin² has period π, so αx/π less the nearest whole number is all it needs: sin²(πr) is a
   polynomial in r², |r| ≤ 1/2, to 2.5e-7 (a Chebyshev fit of degree 5). */
static inline __attribute__((always_inline)) float snake(float x, float scale, float inverse) {
    const float whole = 12582912.0f; /* 1.5 · 2^23: adding it rounds to a whole number */
    float turns = x * scale;
    float r = turns - ((turns + whole) - whole);
    float u = r * r;
    float p = -3.3565926551818848f;
    p = p * u + 13.05009937286377f;
    p = p * u - 30.101465225219727f;
    p = p * u + 42.727195739746094f;
    p = p * u - 32.469669342041016f;
    p = p * u + 9.869604110717773f;
    return x + p * u * inverse;
}

FOR_EACH_CPU static void snake_rows(const float *x, const float *restrict alpha, float *y, int frames, int channels) {
    enum { WIDTH = 256 };
    float scale[WIDTH], inverse[WIDTH];
    for (int start = 0; start < channels; start += WIDTH) {
        int width = least(WIDTH, channels - start);
        for (int c = 0; c < width; c++) {
            scale[c] = alpha[start + c] * 0.31830988618379067f;
            inverse[c] = 1 / (alpha[start + c] + 1e-9f);
        }
        for (int t = 0; t < frames; t++) {
            const float *from = x + (long)t * channels + start;
            float *to = y + (long)t * channels + start;
            for (int c = 0; c < width; c++) to[c] = snake(from[c], scale[c], inverse[c]);
        }
    }
}

typedef struct {
    const float *x, *alpha;
    float *y;
    int frames, channels, rows;
} snake_job;

static void snake_task(void *context, int index) {
    const snake_job *job = context;
    int from = index * job->rows;
    long offset = (long)from * job->channels;
    snake_rows(job->x + offset, job->alpha, job->y + offset, least(job->rows, job->frames - from),
               job->channels);
}

void sound_snake(const float *x, const float *alpha, float *y, int frames, int channels) {
    snake_job job = {x, alpha, y, frames, channels, most(1, BLOCK / channels)};
    pool_run(snake_task, &job, (frames + job.rows - 1) / job.rows);
}

/* ---- GELU and SiLU ---- */

/* e^x for x ≤ 0, by 2^n · 2^f. */
static inline __attribute__((always_inline)) float exp_negative(float x) {
    const float whole = 12582912.0f;
    float t = x * 1.4426950408889634f;
    t = t < -126.0f ? -126.0f : t;
    float n = (t + whole) - whole;
    float f = t - n;
    float p = 0.0013400432653725147f;
    p = p * f + 0.009676037356257439f;
    p = p * f + 0.05550327152013779f;
    p = p * f + 0.2402210682630539f;
    p = p * f + 0.6931471824645996f;
    p = p * f + 1.0000001192092896f;
    union {
        int i;
        float f;
    } power = {((int)n + 127) << 23};
    return p * power.f;
}

/* erf by formula 7.1.26 of Abramowitz and Stegun, to 1.5e-7. */
FOR_EACH_CPU static void gelu_block(const float *restrict x, float *restrict y, int size) {
    for (int i = 0; i < size; i++) {
        float v = x[i];
        float z = (v < 0 ? -v : v) * 0.7071067811865476f;
        float t = 1 / (1 + 0.3275911f * z);
        float p = 1.061405429f;
        p = p * t - 1.453152027f;
        p = p * t + 1.421413741f;
        p = p * t - 0.284496736f;
        p = p * t + 0.254829592f;
        float tail = 0.5f * p * t * exp_negative(-z * z); /* 1 - Φ(|v|) */
        y[i] = v * (v < 0 ? tail : 1 - tail);
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

FOR_EACH_CPU static void softmax_rows(float *x, int rows, int columns) {
    for (int r = 0; r < rows; r++, x += columns) {
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
}

typedef struct {
    float *x;
    long rows;
    int columns, part;
} softmax_job;

static void softmax_task(void *context, int index) {
    const softmax_job *job = context;
    long from = (long)index * job->part, rows = job->rows - from;
    softmax_rows(job->x + from * job->columns, rows < job->part ? (int)rows : job->part,
                 job->columns);
}

void sound_softmax(float *x, long rows, int columns) {
    softmax_job job = {x, rows, columns, most(1, BLOCK / columns)};
    pool_run(softmax_task, &job, (int)((rows + job.part - 1) / job.part));
}

/* ---- Convolution ---- */

static void fill_rows(float *y, int rows, int channels, const float *bias) {
    for (int t = 0; t < rows; t++) memcpy(y + (long)t * channels, bias, 4ul * channels);
}

/* Copies frames [from, from + count) of x, and zeros where there are none. */
static void copy_window(const float *x, int frames, int channels, int from, int count, float *to) {
    int begin = least(count, most(0, -from)), end = most(begin, least(count, frames - from));
    memset(to, 0, 4ul * channels * begin);
    if (end > begin)
        memcpy(to + (long)begin * channels, x + (long)(from + begin) * channels,
               4ul * channels * (end - begin));
    memset(to + (long)end * channels, 0, 4ul * channels * (count - end));
}

/* How many frames a task takes: a tile, or an even share if that is less. */
static int task_frames(int frames, int channels) {
    int share = (frames + pool_threads() - 1) / pool_threads();
    return most(12, least(tile_frames(channels), share));
}

typedef struct {
    const float *x, *bias;
    const packed *weights; /* one for each group */
    float *y;
    int frames, in, kernel, stride, padding, dilation, groups, out_frames, out, rows;
    int *failed;
} conv_job;

static void conv_task(void *context, int index) {
    const conv_job *job = context;
    int from = index * job->rows, rows = least(job->rows, job->out_frames - from);
    int reach = (rows - 1) * job->stride + (job->kernel - 1) * job->dilation + 1;
    float *window = malloc(4ul * job->in * reach);
    if (window == NULL) {
        *job->failed = 1;
        return;
    }
    copy_window(job->x, job->frames, job->in, from * job->stride - job->padding, reach, window);
    float *y = job->y + (long)from * job->out;
    fill_rows(y, rows, job->out, job->bias);
    int in = job->in / job->groups, out = job->out / job->groups;
    for (int g = 0; g < job->groups; g++)
        product_add(&job->weights[g], 0, 1, job->kernel, rows, window + g * in,
                    (long)job->stride * job->in, (long)job->dilation * job->in, y + g * out,
                    job->out);
    free(window);
}

int sound_conv(const float *x, int frames, int in, const float *weight, const float *bias,
               int kernel, int stride, int padding, int dilation, int groups, float *y,
               int out_frames, int out) {
    packed *weights = calloc(groups, sizeof *weights);
    int failed = weights == NULL;
    for (int g = 0; g < groups && !failed; g++)
        failed = product_pack(&weights[g], weight + (long)g * (out / groups) * kernel * (in / groups),
                              out / groups, kernel, in / groups) != 0;
    if (!failed) {
        int rows = task_frames(out_frames, most(in * stride, out));
        conv_job job = {x,      bias,    weights,  y,      frames,     in,  kernel, stride,
                        padding, dilation, groups, out_frames, out, rows, &failed};
        pool_run(conv_task, &job, (out_frames + rows - 1) / rows);
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
    int stride = job->stride, before = (job->kernel - 1) / stride;
    int last = (job->out_frames - 1 + job->padding) / stride + 1;
    int from = index * job->rows, to = least(from + job->rows, last);
    float *window = malloc(4ul * job->in * (to - from + before));
    if (window == NULL) {
        *job->failed = 1;
        return;
    }
    copy_window(job->x, job->frames, job->in, from - before, to - from + before, window);
    for (int r = 0; r < stride; r++) {
        int taps = (job->kernel - r + stride - 1) / stride, shift = r - job->padding;
        int begin = from, end = to; /* those q whose output frame exists */
        while (begin < end && begin * stride + shift < 0) begin++;
        while (end > begin && (end - 1) * stride + shift >= job->out_frames) end--;
        if (begin == end) continue;
        float *y = job->y + ((long)begin * stride + shift) * job->out;
        for (int q = begin; q < end; q++)
            memcpy(y + (long)(q - begin) * stride * job->out, job->bias, 4ul * job->out);
        if (taps > 0)
            product_add(job->weights, r, stride, taps, end - begin,
                        window + (long)(begin - from + before) * job->in, job->in, -job->in, y,
                        (long)stride * job->out);
    }
    free(window);
}

int sound_conv_transpose(const float *x, int frames, int in, const float *weight,
                         const float *bias, int kernel, int stride, int padding, float *y,
                         int out_frames, int out) {
    packed weights;
    if (product_pack(&weights, weight, out, kernel, in) != 0) return -1;
    int failed = 0, steps = (out_frames - 1 + padding) / stride + 1;
    int rows = task_frames(steps, in);
    conv_job job = {x,       bias, &weights, y,          frames, in,   kernel, stride,
                    padding, 1,    1,        out_frames, out,    rows, &failed};
    pool_run(conv_transpose_task, &job, (steps + rows - 1) / rows);
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
    copy_window(job->x, job->frames, channels, from - reach, width, input);
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
        int rows = task_frames(frames, channels);
        unit_job job = {x, alpha1, bias1,    alpha2, bias2,    &first, &second,
                        y, frames, channels, kernel, dilation, rows,   &failed};
        pool_run(unit_task, &job, (frames + rows - 1) / rows);
    }
    product_free(&first);
    product_free(&second);
    return failed ? -1 : 0;
}
