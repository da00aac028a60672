/* The layers of a Qwen2 for the next tokens of one or several streams, as one call.

   Input: rows of embeddings x (count, hidden) and the caches of their streams. Output: the rows of
   the last norm, (count, hidden). A decoder is only read, by any number of threads; a cache belongs
   to one call at a time. Sizes are checked by the caller (decode_python.c). */
#ifndef SPARK_DECODE_H
#define SPARK_DECODE_H

#include "decode_matrix.h"

typedef struct {
    int hidden, intermediate, layers, heads, kv_heads, head_dim;
    float eps;
} decode_sizes;

/* Biases are (rows of the matrix,), norms (hidden,). */
typedef struct {
    const float *norm1, *q_bias, *k_bias, *v_bias, *norm2;
    const matrix *q, *k, *v, *o, *gate, *up, *down;
} decode_layer;

/* `frequencies` (head_dim / 2,) are the angles by which a pair of channels turns from one position
   to the next; `norm` (hidden,) is the last norm. */
typedef struct {
    decode_sizes sizes;
    const float *norm, *frequencies;
    decode_layer *layers;
} decoder;

/* Keys and values of one stream. For each layer and head, keys are panels, `room` / 32 times
   (head_dim, 32), and values (room, head_dim rounded up to a multiple of 16). */
typedef struct {
    int length, room, count;
    float **keys, **values;
} decode_cache;

/* Open an empty cache for `sizes`. Returns 0, or -1 without memory. */
int decode_cache_open(decode_cache *cache, const decode_sizes *sizes);
void decode_cache_close(decode_cache *cache);

/* Compute the layers and the last norm: x (count, hidden) → y (count, hidden). Row i is the token
   that follows the positions in caches[i] and the rows before i with the same cache; all are
   appended. Returns 0, or -1 without memory; nothing is appended then. */
int decode_run(const decoder *d, int count, decode_cache *const *caches, const float *x, float *y);

#endif
