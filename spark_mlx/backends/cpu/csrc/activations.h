/* Activations of the codec, and softmax.

   Arrays are float32 without gaps. All but `snake_rows` share their work out over the pool; any
   thread may call them. */
#ifndef SPARK_ACTIVATIONS_H
#define SPARK_ACTIVATIONS_H

/* Keeps 1 / alpha finite, as in the official code. */
#define SNAKE_EPSILON 1e-9f

/* y = x + sin²(alpha · x) / alpha, channel by channel: x, y (frames, channels), alpha (channels,).
   y may be x. */
void snake(const float *x, const float *alpha, float *y, long frames, int channels);

/* The same on the calling thread. */
void snake_rows(const float *x, const float *alpha, float *y, int frames, int channels);

/* y = x · Φ(x), the exact GELU, over `size` numbers. */
void gelu(const float *x, float *y, long size);

/* y = x · σ(x), over `size` numbers. */
void silu(const float *x, float *y, long size);

/* Softmax of each row of x (rows, columns), in place. With `queries` > 0, which divides the rows
   and is at most `columns`, attention is causal: of that many rows in turn, the last sees all
   columns, and each one before it one column less; the others become zero. */
void softmax(float *x, long rows, int columns, int queries);

#endif
