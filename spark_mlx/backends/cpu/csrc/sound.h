/* The layers of the codec's wave generator and their activations, on a CPU.

   Arrays are float32, (frames, channels), rows without gaps; weights lie as MLX has them,
   (out, kernel, in). Gradients are in gradient.c. */
#ifndef SPARK_SOUND_H
#define SPARK_SOUND_H

/* y = x + sin²(alpha · x) / alpha, channel by channel. */
void sound_snake(const float *x, const float *alpha, float *y, long frames, int channels);

/* y = x · Φ(x), the exact GELU, over `size` numbers. */
void sound_gelu(const float *x, float *y, long size);

/* y = x · σ(x), over `size` numbers. */
void sound_silu(const float *x, float *y, long size);

/* Softmax of each row, in place. With `queries` > 0 attention is causal: of that many rows in turn,
   the last sees all columns, and each one before it one column less; the others become zero. */
void sound_softmax(float *x, long rows, int columns, int queries);

/* x is (batch, frames, in) and y (batch, out_frames, out). Groups divide the channels. */
typedef struct {
    int batch, frames, in, kernel, stride, padding, dilation, groups, out_frames, out;
} conv_sizes;

/* A convolution. This and the two below return 0, or -1 when there is no memory. */
int sound_conv(const float *x, const float *weight, const float *bias, float *y,
               const conv_sizes *sizes);

/* A transposed convolution; without groups and dilation. */
int sound_conv_transpose(const float *x, const float *weight, const float *bias, float *y,
                         const conv_sizes *sizes);

/* Copies frames [from, from + count) of x (frames, channels), and zeros where there are none. */
void sound_window(const float *x, int frames, int channels, int from, int count, float *to);

/* y = x + pointwise(snake(dilated(snake(x)))), tile by tile, without a pass over memory between.
   `wide` is (channels, kernel, channels), `narrow` (channels, 1, channels). */
int sound_residual_unit(const float *x, int frames, int channels, const float *alpha1,
                        const float *wide, const float *bias1, int kernel, int dilation,
                        const float *alpha2, const float *narrow, const float *bias2, float *y);

#endif
