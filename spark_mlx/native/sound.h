/* The layers of the codec's wave generator and their activations, on a CPU.

   Arrays are float32, (frames, channels), rows without gaps; weights lie as MLX has them,
   (out, kernel, in). */
#ifndef SPARK_SOUND_H
#define SPARK_SOUND_H

/* y = x + sin²(alpha · x) / alpha, channel by channel. */
void sound_snake(const float *x, const float *alpha, float *y, int frames, int channels);

/* y = x · Φ(x), the exact GELU, over `size` numbers. */
void sound_gelu(const float *x, float *y, long size);

/* y = x · σ(x), over `size` numbers. */
void sound_silu(const float *x, float *y, long size);

/* Softmax of each row, in place. */
void sound_softmax(float *x, long rows, int columns);

/* A convolution; y has `out_frames` rows of `out` channels. Groups divide the channels.
   This and the two below return 0, or -1 when there is no memory. */
int sound_conv(const float *x, int frames, int in, const float *weight, const float *bias,
                int kernel, int stride, int padding, int dilation, int groups, float *y,
                int out_frames, int out);

/* A transposed convolution. */
int sound_conv_transpose(const float *x, int frames, int in, const float *weight,
                          const float *bias, int kernel, int stride, int padding, float *y,
                          int out_frames, int out);

/* y = x + pointwise(snake(dilated(snake(x)))), tile by tile, without a pass over memory between.
   `wide` is (channels, kernel, channels), `narrow` (channels, 1, channels). */
int sound_residual_unit(const float *x, int frames, int channels, const float *alpha1,
                        const float *wide, const float *bias1, int kernel, int dilation,
                        const float *alpha2, const float *narrow, const float *bias2, float *y);

#endif
