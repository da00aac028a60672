/* The layers of a Qwen2 for the next tokens; see decode.h.

   A layer is five parallel loops: the three products before attention, attention, the product after
   it, the two of SwiGLU and the last one. The norms and rotations between them take less than a
   microsecond for one token; the calling thread computes those itself. */
#include "decode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "decode_kernels.h"
#include "pool.h"

/* ---- The cache ---- */

/* The numbers that one position of a head takes among values. */
static int padded(int head_dim) { return (head_dim + 15) / 16 * 16; }

int decode_cache_open(decode_cache *cache, const decode_sizes *sizes) {
    int count = sizes->layers * sizes->kv_heads;
    *cache =
        (decode_cache){0, 0, count, calloc(count, sizeof(float *)), calloc(count, sizeof(float *))};
    if (cache->keys != NULL && cache->values != NULL) return 0;
    decode_cache_close(cache);
    return -1;
}

void decode_cache_close(decode_cache *cache) {
    for (int i = 0; i < cache->count; i++) {
        if (cache->keys != NULL) free(cache->keys[i]);
        if (cache->values != NULL) free(cache->values[i]);
    }
    free(cache->keys);
    free(cache->values);
}

/* Make room for `more` positions, and half as many again. Kernels read the unused ones along with
   their neighbours and drop the results. */
static int reserve(decode_cache *cache, const decode_sizes *sizes, int more) {
    enum { FIRST_ROOM = 256 };
    int needed = cache->length + more;
    if (needed <= cache->room) return 0;
    int room = (max(needed + needed / 2, FIRST_ROOM) + WIDTH - 1) / WIDTH * WIDTH;
    size_t key = sizes->head_dim * sizeof(float), value = padded(sizes->head_dim) * sizeof(float);
    for (int i = 0; i < cache->count; i++) {
        float *keys = realloc(cache->keys[i], room * key);
        if (keys == NULL) return -1;
        cache->keys[i] = keys;
        float *values = realloc(cache->values[i], room * value);
        if (values == NULL) return -1;
        cache->values[i] = values;
    }
    cache->room = room;
    return 0;
}

/* ---- One call ---- */

typedef struct {
    const decode_sizes *sizes;
    const decode_kernel *kernel;
    const decode_layer *layer;
    int index; /* of the layer */
    int count; /* of rows */
    int parts; /* of the loop over a row's heads */
    decode_cache *const *caches;
    int *positions;                           /* of each row in its cache */
    float *x, *normed, *attended, *gate, *up; /* a row for each token */
    float *queries, *keys, *values;           /* (count, heads, head_dim) */
    float *cosines, *sines;                   /* (count, head_dim / 2) */
    float *sums;                              /* of the groups of the left operand */
} run;

/* Prepare rows as the left operand of the next products. */
static operand prepare(const run *r, const float *rows, int columns) {
    matrix_sums(r->count, rows, columns, r->sums);
    return (operand){r->count, rows, r->sums};
}

typedef struct {
    const run *r;
    operand x;
    int panels, parts;
} section;

static void over_panels(const run *r, const float *rows, int columns, int panels, pool_task task) {
    section s = {r, prepare(r, rows, columns), panels, matrix_parts(panels)};
    pool_run(task, &s, s.parts);
}

/* Queries, keys and values are one loop over the panels of all three. */
static void project_task(void *context, int index) {
    const section *s = context;
    const run *r = s->r;
    const decode_layer *l = r->layer;
    int end = matrix_part(s->panels, index + 1, s->parts);
    for (int i = matrix_part(s->panels, index, s->parts); i < end; i++) {
        int key = i - l->q->panels, value = key - l->k->panels;
        if (key < 0) matrix_set(l->q, i, &s->x, l->q_bias, r->queries);
        else if (value < 0) matrix_set(l->k, key, &s->x, l->k_bias, r->keys);
        else matrix_set(l->v, value, &s->x, l->v_bias, r->values);
    }
}

static void output_task(void *context, int index) {
    const section *s = context;
    int end = matrix_part(s->panels, index + 1, s->parts);
    for (int i = matrix_part(s->panels, index, s->parts); i < end; i++)
        matrix_add(s->r->layer->o, i, &s->x, s->r->x);
}

static void gate_up_task(void *context, int index) {
    const section *s = context;
    const run *r = s->r;
    int end = matrix_part(s->panels, index + 1, s->parts), size = r->sizes->intermediate;
    for (int i = matrix_part(s->panels, index, s->parts); i < end; i++) {
        matrix_set(r->layer->gate, i, &s->x, NULL, r->gate);
        matrix_set(r->layer->up, i, &s->x, NULL, r->up);
        int from = i * WIDTH, columns = min(WIDTH, size - from);
        for (int row = 0; row < r->count; row++) {
            long at = (long)row * size + from;
            r->kernel->swiglu(columns, r->gate + at, r->up + at, r->gate + at);
        }
    }
}

static void down_task(void *context, int index) {
    const section *s = context;
    int end = matrix_part(s->panels, index + 1, s->parts);
    for (int i = matrix_part(s->panels, index, s->parts); i < end; i++)
        matrix_add(s->r->layer->down, i, &s->x, s->r->x);
}

/* Turn a head's pairs of channels, (i, i + dim / 2), by the angles of its position. */
static void rotate(int dim, const float *cosines, const float *sines, float scale, float *head) {
    int half = dim / 2;
    for (int i = 0; i < half; i++) {
        float first = head[i], second = head[half + i];
        head[i] = scale * (first * cosines[i] - second * sines[i]);
        head[half + i] = scale * (second * cosines[i] + first * sines[i]);
    }
}

/* Rotate a row's queries and keys, and append its keys and values to its cache. */
static void append_to_cache(const run *r, int row) {
    const decode_sizes *s = r->sizes;
    int dim = s->head_dim, half = dim / 2, position = r->positions[row];
    const float *cosines = r->cosines + row * half, *sines = r->sines + row * half;
    float scale = 1 / sqrtf((float)dim);
    float *queries = r->queries + (long)row * s->heads * dim;
    for (int h = 0; h < s->heads; h++) rotate(dim, cosines, sines, scale, queries + h * dim);
    for (int h = 0; h < s->kv_heads; h++) {
        long at = ((long)row * s->kv_heads + h) * dim;
        rotate(dim, cosines, sines, 1, r->keys + at);
        float *keys = r->caches[row]->keys[r->index * s->kv_heads + h];
        float *values = r->caches[row]->values[r->index * s->kv_heads + h];
        keys += (long)(position / WIDTH) * dim * WIDTH + position % WIDTH;
        for (int i = 0; i < dim; i++) keys[i * WIDTH] = r->keys[at + i];
        memcpy(values + (long)position * padded(dim), r->values + at, dim * sizeof *values);
    }
}

/* Attend with the queries that share a head of keys, or a part of them. */
static void attend_task(void *context, int index) {
    const run *r = context;
    const decode_sizes *s = r->sizes;
    int row = index / r->parts, part = index % r->parts;
    int splits = r->parts / s->kv_heads, group = s->heads / s->kv_heads;
    int shared = part / splits, split = part % splits;
    int from = group * split / splits, heads = group * (split + 1) / splits - from;
    int head = r->index * s->kv_heads + shared, dim = s->head_dim;
    long at = ((long)row * s->heads + shared * group + from) * dim;
    r->kernel->attend(heads, dim, padded(dim), r->queries + at, r->caches[row]->keys[head],
                      r->caches[row]->values[head], r->positions[row] + 1, r->attended + at);
}

static void attend(run *r) {
    int group = r->sizes->heads / r->sizes->kv_heads, tasks = r->count * r->sizes->kv_heads;
    int splits = (group + MAX_HEADS - 1) / MAX_HEADS;
    while (tasks * splits < pool_threads() && splits < group) splits++;
    r->parts = r->sizes->kv_heads * splits;
    for (int row = 0; row < r->count; row++) append_to_cache(r, row);
    pool_run(attend_task, r, r->count * r->parts);
}

static void norm(const run *r, const float *weight, float *y) {
    int size = r->sizes->hidden;
    for (int row = 0; row < r->count; row++)
        r->kernel->norm(size, r->x + (long)row * size, weight, r->sizes->eps, y + (long)row * size);
}

static void run_layer(run *r) {
    const decode_layer *l = r->layer;
    const decode_sizes *s = r->sizes;
    norm(r, l->norm1, r->normed);
    int panels = l->q->panels + l->k->panels + l->v->panels;
    over_panels(r, r->normed, s->hidden, panels, project_task);
    attend(r);
    over_panels(r, r->attended, s->heads * s->head_dim, l->o->panels, output_task);
    norm(r, l->norm2, r->normed);
    over_panels(r, r->normed, s->hidden, l->gate->panels, gate_up_task);
    over_panels(r, r->gate, s->intermediate, l->down->panels, down_task);
}

static void set_angles(const run *r, const float *frequencies) {
    int half = r->sizes->head_dim / 2;
    for (int row = 0; row < r->count; row++)
        for (int i = 0; i < half; i++) {
            float angle = (float)r->positions[row] * frequencies[i];
            r->cosines[row * half + i] = cosf(angle);
            r->sines[row * half + i] = sinf(angle);
        }
}

/* Give each row its position. */
static int take_positions(const run *r) {
    for (int row = 0; row < r->count; row++) {
        if (reserve(r->caches[row], r->sizes, 1) != 0) {
            while (row-- > 0) r->caches[row]->length--;
            return -1;
        }
        r->positions[row] = r->caches[row]->length++;
    }
    return 0;
}

/* Cut `count` rows of `columns` floats from the free memory at *next. */
static float *take_rows(float **next, int count, int columns) {
    float *rows = *next;
    *next += (long)count * columns;
    return rows;
}

int decode_run(const decoder *d, int count, decode_cache *const *caches, const float *x, float *y) {
    const decode_sizes *s = &d->sizes;
    int queries = s->heads * s->head_dim, keys = s->kv_heads * s->head_dim, half = s->head_dim / 2;
    int widest = max(max(s->hidden, s->intermediate), queries);
    long row = 2L * s->hidden + 2L * s->intermediate + 2L * queries + 2L * keys + 2L * half;
    float *room = malloc((count * row + MAX_PACKED_ROWS * (widest / GROUP)) * sizeof *room);
    int *positions = malloc(count * sizeof *positions);
    run r = {.sizes = s,
             .kernel = decode_kernel_now(),
             .count = count,
             .caches = caches,
             .positions = positions};
    if (room == NULL || positions == NULL || take_positions(&r) != 0) {
        free(room);
        free(positions);
        return -1;
    }
    float *next = room;
    r.x = take_rows(&next, count, s->hidden);
    r.normed = take_rows(&next, count, s->hidden);
    r.gate = take_rows(&next, count, s->intermediate);
    r.up = take_rows(&next, count, s->intermediate);
    r.attended = take_rows(&next, count, queries);
    r.queries = take_rows(&next, count, queries);
    r.keys = take_rows(&next, count, keys);
    r.values = take_rows(&next, count, keys);
    r.cosines = take_rows(&next, count, half);
    r.sines = take_rows(&next, count, half);
    r.sums = next;
    memcpy(r.x, x, sizeof *x * count * s->hidden);
    set_angles(&r, d->frequencies);
    for (r.index = 0; r.index < s->layers; r.index++) {
        r.layer = &d->layers[r.index];
        run_layer(&r);
    }
    norm(&r, d->norm, y);
    free(room);
    free(positions);
    return 0;
}
