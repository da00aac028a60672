/* Convolutions as products of matrices on windows of the sequence, and the elementwise chains.

   A tap of a convolution is a product of a shifted view of the input with that tap's weights, so
   nothing is unfolded into memory. Work is cut along time; a tile stays in the cache of its core. */
#include "sound.h"

#include <stdlib.h>
#include <string.h>

#include "blas.h"
#include "pool.h"

#if defined(__x86_64__) && defined(__gnu_linux__)
#define FOR_EACH_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_CPU
#endif

enum { BLOCK = 1 << 14 }; /* numbers of an elementwise task */

static int least(int a, int b) { return a < b ? a : b; }
static int most(int a, int b) { return a > b ? a : b; }

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

FOR_EACH_CPU static void snake_rows(const float *restrict x, const float *restrict alpha,
                                    float *restrict y, int frames, int channels) {
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

/* ---- GELU ---- */

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

typedef struct {
    const float *x;
    float *y;
    long size;
} gelu_job;

static void gelu_task(void *context, int index) {
    const gelu_job *job = context;
    long from = (long)index * BLOCK;
    long size = job->size - from;
    gelu_block(job->x + from, job->y + from, size < BLOCK ? (int)size : BLOCK);
}

void sound_gelu(const float *x, float *y, long size) {
    gelu_job job = {x, y, size};
    pool_run(gelu_task, &job, (int)((size + BLOCK - 1) / BLOCK));
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

typedef struct {
    const float *x, *weight, *bias;
    float *y;
    int frames, in, kernel, stride, padding, dilation, groups, out_frames, out, rows;
} conv_job;

/* Output frames [from, to) of one tap: those whose input frame exists. */
static void conv_tap(const conv_job *job, int tap, int from, int to) {
    int shift = tap * job->dilation - job->padding; /* input frame = output frame · stride + shift */
    while (from < to && from * job->stride + shift < 0) from++;
    while (from < to && (to - 1) * job->stride + shift >= job->frames) to--;
    if (from == to) return;
    int in = job->in / job->groups, out = job->out / job->groups;
    const float *x = job->x + ((long)from * job->stride + shift) * job->in;
    for (int g = 0; g < job->groups; g++)
        blas_accumulate(to - from, out, in, x + g * in, job->in * job->stride,
                        job->weight + ((long)g * out * job->kernel + tap) * in, job->kernel * in,
                        job->y + (long)from * job->out + g * out, job->out);
}

/* Output frames [from, to) by way of unfolded windows: for layers with so few input channels that a
   product per tap would be all overhead. Returns -1 when there is no memory. */
static int conv_windows(const conv_job *job, int from, int to) {
    int width = job->kernel * job->in;
    float *windows = malloc(4ul * width * (to - from));
    if (windows == NULL) return -1;
    for (int t = from; t < to; t++)
        for (int tap = 0; tap < job->kernel; tap++) {
            int frame = t * job->stride - job->padding + tap * job->dilation;
            float *window = windows + (long)(t - from) * width + tap * job->in;
            if (frame < 0 || frame >= job->frames) memset(window, 0, 4ul * job->in);
            else memcpy(window, job->x + (long)frame * job->in, 4ul * job->in);
        }
    blas_accumulate(to - from, job->out, width, windows, width, job->weight, width,
                    job->y + (long)from * job->out, job->out);
    free(windows);
    return 0;
}

static void conv_task(void *context, int index) {
    const conv_job *job = context;
    int from = index * job->rows, to = least(from + job->rows, job->out_frames);
    fill_rows(job->y + (long)from * job->out, to - from, job->out, job->bias);
    if (job->groups == 1 && job->in < 16 && conv_windows(job, from, to) == 0) return;
    for (int tap = 0; tap < job->kernel; tap++) conv_tap(job, tap, from, to);
}

void sound_conv(const float *x, int frames, int in, const float *weight, const float *bias,
                int kernel, int stride, int padding, int dilation, int groups, float *y,
                int out_frames, int out) {
    int rows = most(16, least(tile_frames(most(in, out)),
                              (out_frames + pool_threads() - 1) / pool_threads()));
    conv_job job = {x,       weight,   bias,   y,          frames, in,  kernel, stride,
                    padding, dilation, groups, out_frames, out,    rows};
    pool_run(conv_task, &job, (out_frames + rows - 1) / rows);
}

/* ---- Transposed convolution ---- */

static void conv_transpose_task(void *context, int index) {
    const conv_job *job = context;
    int from = index * job->rows, to = least(from + job->rows, job->out_frames);
    fill_rows(job->y + (long)from * job->out, to - from, job->out, job->bias);
    for (int tap = 0; tap < job->kernel; tap++) {
        /* Input frame t adds to output frame t · stride + shift. */
        int shift = tap - job->padding;
        int first = 0, last = job->frames; /* [first, last) reach into [from, to) */
        if (from > shift) first = (from - shift + job->stride - 1) / job->stride;
        if (to <= shift) continue;
        last = least(last, (to - 1 - shift) / job->stride + 1);
        if (first >= last) continue;
        blas_accumulate(last - first, job->out, job->in, job->x + (long)first * job->in, job->in,
                        job->weight + (long)tap * job->in, job->kernel * job->in,
                        job->y + ((long)first * job->stride + shift) * job->out,
                        job->stride * job->out);
    }
}

void sound_conv_transpose(const float *x, int frames, int in, const float *weight,
                          const float *bias, int kernel, int stride, int padding, float *y,
                          int out_frames, int out) {
    int rows = most(stride * 16, least(tile_frames(in) * stride,
                                       (out_frames + pool_threads() - 1) / pool_threads()));
    conv_job job = {x,       weight, bias, y,          frames, in,  kernel, stride,
                    padding, 1,      1,    out_frames, out,    rows};
    pool_run(conv_transpose_task, &job, (out_frames + rows - 1) / rows);
}

/* ---- Residual unit ---- */

typedef struct {
    const float *x, *alpha1, *wide, *bias1, *alpha2, *narrow, *bias2;
    float *y;
    int frames, channels, kernel, dilation, rows;
    int *failed;
} unit_job;

static void unit_task(void *context, int index) {
    const unit_job *job = context;
    int channels = job->channels, reach = (job->kernel - 1) / 2 * job->dilation;
    int from = index * job->rows, rows = least(job->rows, job->frames - from);
    int width = rows + 2 * reach;
    float *buffer = malloc(4ul * channels * (width + 2 * rows));
    if (buffer == NULL) {
        *job->failed = 1;
        return;
    }
    /* The tile and what the taps reach on both sides; beyond the ends there is silence. */
    int begin = most(0, from - reach), end = least(job->frames, from + rows + reach);
    float *input = buffer;
    int before = begin - (from - reach), after = width - before - (end - begin);
    memset(input, 0, 4ul * channels * before);
    snake_rows(job->x + (long)begin * channels, job->alpha1, input + (long)before * channels,
               end - begin, channels);
    memset(input + (long)(width - after) * channels, 0, 4ul * channels * after);

    float *hidden = input + (long)width * channels;
    fill_rows(hidden, rows, channels, job->bias1);
    for (int tap = 0; tap < job->kernel; tap++)
        blas_accumulate(rows, channels, channels, input + (long)tap * job->dilation * channels,
                        channels, job->wide + (long)tap * channels, job->kernel * channels, hidden,
                        channels);
    float *activated = hidden + (long)rows * channels;
    snake_rows(hidden, job->alpha2, activated, rows, channels);

    const float *x = job->x + (long)from * channels;
    float *y = job->y + (long)from * channels;
    for (int t = 0; t < rows; t++)
        for (int c = 0; c < channels; c++)
            y[(long)t * channels + c] = x[(long)t * channels + c] + job->bias2[c];
    blas_accumulate(rows, channels, channels, activated, channels, job->narrow, channels, y,
                    channels);
    free(buffer);
}

int sound_residual_unit(const float *x, int frames, int channels, const float *alpha1,
                        const float *wide, const float *bias1, int kernel, int dilation,
                        const float *alpha2, const float *narrow, const float *bias2, float *y) {
    int failed = 0;
    int rows = most(16, least(tile_frames(channels),
                              (frames + pool_threads() - 1) / pool_threads()));
    unit_job job = {x, alpha1, wide,     bias1,    alpha2, narrow, bias2,
                    y, frames, channels, kernel, dilation, rows,  &failed};
    pool_run(unit_task, &job, (frames + rows - 1) / rows);
    return failed ? -1 : 0;
}
