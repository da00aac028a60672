/* Convolutions of the codec as products of windows of the sequence with weights; see codec_ops.h.

   Work is cut along time; a tile of the sequence stays in the cache of its core. */
#include "codec_ops.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "activations.h"
#include "common.h"
#include "gemm.h"
#include "pool.h"

/* Rows of a tile, so that one of `channels` fills about half of a core's second-level cache. */
static int tile_frames(int channels) { return max(64, min(4096, 98304 / channels)); }

/* ---- Convolution ---- */

static void fill_rows(float *y, int rows, int channels, const float *bias) {
    for (int t = 0; t < rows; t++) memcpy(y + (long)t * channels, bias, sizeof(float) * channels);
}

void codec_window(const float *x, int frames, int channels, int from, int count, float *to) {
    size_t frame = sizeof(float) * channels;
    int begin = min(count, max(0, -from)), end = max(begin, min(count, frames - from));
    memset(to, 0, frame * begin);
    if (end > begin)
        memcpy(to + (long)begin * channels, x + (long)(from + begin) * channels,
               frame * (end - begin));
    memset(to + (long)end * channels, 0, frame * (count - end));
}

/* The frames of a sequence that a task takes: a tile, or a share that gives each core some. */
static int task_frames(int batch, int frames, int channels) {
    int shares = max(1, pool_threads() / batch);
    return max(12, min(tile_frames(channels), (frames + shares - 1) / shares));
}

typedef struct {
    const float *x, *bias;
    const packed_weights *weights; /* one for each group */
    float *y;
    conv_sizes sizes;
    int rows, tiles; /* frames of a tile, and how many of them a sequence has */
    _Atomic int *failed;
} conv_job;

static void conv_task(void *context, int index) {
    const conv_job *job = context;
    const conv_sizes *size = &job->sizes;
    const float *x = job->x + (long)(index / job->tiles) * size->frames * size->in;
    float *whole = job->y + (long)(index / job->tiles) * size->out_frames * size->out;
    int from = index % job->tiles * job->rows, rows = min(job->rows, size->out_frames - from);
    int reach = (rows - 1) * size->stride + (size->kernel - 1) * size->dilation + 1;
    float *window = malloc(sizeof(float) * size->in * reach);
    if (window == NULL) {
        atomic_store(job->failed, 1);
        return;
    }
    codec_window(x, size->frames, size->in, from * size->stride - size->padding, reach, window);
    float *y = whole + (long)from * size->out;
    fill_rows(y, rows, size->out, job->bias);
    int in = size->in / size->groups, out = size->out / size->groups;
    for (int g = 0; g < size->groups; g++)
        gemm_windows(&job->weights[g], 0, 1, size->kernel, rows, window + g * in,
                     (long)size->stride * size->in, (long)size->dilation * size->in, y + g * out,
                     size->out);
    free(window);
}

int codec_conv(const float *x, const float *weight, const float *bias, float *y,
               const conv_sizes *size) {
    int groups = size->groups, in = size->in / groups, out = size->out / groups;
    packed_weights *weights = calloc(groups, sizeof *weights);
    _Atomic int failed = weights == NULL;
    for (int g = 0; g < groups && !failed; g++)
        failed = gemm_pack(&weights[g], weight + (long)g * out * size->kernel * in, out,
                           size->kernel, in) != 0;
    if (!failed) {
        int rows =
            task_frames(size->batch, size->out_frames, max(size->in * size->stride, size->out));
        int tiles = (size->out_frames + rows - 1) / rows;
        conv_job job = {x, bias, weights, y, *size, rows, tiles, &failed};
        pool_run(conv_task, &job, size->batch * tiles);
    }
    for (int g = 0; weights != NULL && g < groups; g++) gemm_free(&weights[g]);
    free(weights);
    return failed ? -1 : 0;
}

/* ---- Transposed convolution ---- */

/* Output frame q · stride + r - padding, 0 ≤ r < stride, is the sum over i of input frame q - i
   with tap r + i · stride. A task takes some q, and all r. */
static void conv_transpose_task(void *context, int index) {
    const conv_job *job = context;
    const conv_sizes *size = &job->sizes;
    const float *x = job->x + (long)(index / job->tiles) * size->frames * size->in;
    float *whole = job->y + (long)(index / job->tiles) * size->out_frames * size->out;
    int stride = size->stride, before = (size->kernel - 1) / stride;
    int last = (size->out_frames - 1 + size->padding) / stride + 1;
    int from = index % job->tiles * job->rows, to = min(from + job->rows, last);
    float *window = malloc(sizeof(float) * size->in * (to - from + before));
    if (window == NULL) {
        atomic_store(job->failed, 1);
        return;
    }
    codec_window(x, size->frames, size->in, from - before, to - from + before, window);
    for (int r = 0; r < stride; r++) {
        int taps = (size->kernel - r + stride - 1) / stride, shift = r - size->padding;
        int begin = from, end = to; /* the q whose output frame exists */
        while (begin < end && begin * stride + shift < 0) begin++;
        while (end > begin && (end - 1) * stride + shift >= size->out_frames) end--;
        if (begin == end) continue;
        float *y = whole + ((long)begin * stride + shift) * size->out;
        for (int q = begin; q < end; q++)
            memcpy(y + (long)(q - begin) * stride * size->out, job->bias,
                   sizeof(float) * size->out);
        if (taps > 0)
            gemm_windows(job->weights, r, stride, taps, end - begin,
                         window + (long)(begin - from + before) * size->in, size->in, -size->in, y,
                         (long)stride * size->out);
    }
    free(window);
}

int codec_conv_transpose(const float *x, const float *weight, const float *bias, float *y,
                         const conv_sizes *size) {
    packed_weights weights;
    if (gemm_pack(&weights, weight, size->out, size->kernel, size->in) != 0) return -1;
    _Atomic int failed = 0;
    int steps = (size->out_frames - 1 + size->padding) / size->stride + 1;
    int rows = task_frames(size->batch, steps, size->in), tiles = (steps + rows - 1) / rows;
    conv_job job = {x, bias, &weights, y, *size, rows, tiles, &failed};
    pool_run(conv_transpose_task, &job, size->batch * tiles);
    gemm_free(&weights);
    return failed ? -1 : 0;
}

/* ---- Residual unit ---- */

typedef struct {
    const residual_unit *unit;
    const packed_weights *dilated, *pointwise;
    const float *x;
    float *y;
    int rows; /* frames of a task */
    _Atomic int *failed;
} unit_job;

static void unit_task(void *context, int index) {
    const unit_job *job = context;
    const residual_unit *u = job->unit;
    int channels = u->channels, reach = (u->kernel - 1) / 2 * u->dilation;
    int from = index * job->rows, rows = min(job->rows, u->frames - from);
    int width = rows + 2 * reach;
    float *input = malloc(sizeof(float) * channels * (width + rows));
    if (input == NULL) {
        atomic_store(job->failed, 1);
        return;
    }
    codec_window(job->x, u->frames, channels, from - reach, width, input);
    snake_rows(input, u->alpha1, input, width, channels); /* zeros stay zeros */
    float *hidden = input + (long)width * channels;
    fill_rows(hidden, rows, channels, u->bias1);
    gemm_windows(job->dilated, 0, 1, u->kernel, rows, input, channels, (long)u->dilation * channels,
                 hidden, channels);
    snake_rows(hidden, u->alpha2, hidden, rows, channels);

    const float *x = job->x + (long)from * channels;
    float *y = job->y + (long)from * channels;
    for (int t = 0; t < rows; t++)
        for (int c = 0; c < channels; c++)
            y[(long)t * channels + c] = x[(long)t * channels + c] + u->bias2[c];
    gemm_windows(job->pointwise, 0, 1, 1, rows, hidden, channels, 0, y, channels);
    free(input);
}

int codec_residual_unit(const residual_unit *unit, const float *x, float *y) {
    packed_weights dilated = {0}, pointwise = {0};
    int channels = unit->channels, frames = unit->frames;
    _Atomic int failed =
        gemm_pack(&dilated, unit->dilated, channels, unit->kernel, channels) != 0 ||
        gemm_pack(&pointwise, unit->pointwise, channels, 1, channels) != 0;
    if (!failed) {
        int rows = task_frames(1, frames, channels);
        unit_job job = {unit, &dilated, &pointwise, x, y, rows, &failed};
        pool_run(unit_task, &job, (frames - 1) / rows + 1);
    }
    gemm_free(&dilated);
    gemm_free(&pointwise);
    return failed ? -1 : 0;
}
