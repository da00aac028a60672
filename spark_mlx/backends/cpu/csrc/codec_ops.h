/* The convolutions of the codec, and a whole residual unit of its wave generator.

   Arrays are float32 without gaps; weights lie as MLX has them, (out, kernel, in). Work is shared
   out over the pool; any thread may call these. Each returns 0, or -1 without memory. Sizes are
   checked by the caller (codec_python.c). */
#ifndef SPARK_CODEC_OPS_H
#define SPARK_CODEC_OPS_H

typedef struct {
    int batch, frames, in, kernel, stride, padding, dilation, groups, out_frames, out;
} conv_sizes;

/* Convolve x (batch, frames, in) with weight (out, kernel, in / groups) and bias (out,) into
   y (batch, out_frames, out). Groups divide the channels. */
int codec_conv(const float *x, const float *weight, const float *bias, float *y,
               const conv_sizes *sizes);

/* The same transposed, without groups and dilation: weight (out, kernel, in). */
int codec_conv_transpose(const float *x, const float *weight, const float *bias, float *y,
                         const conv_sizes *sizes);

/* y = x + pointwise(snake(dilated(snake(x)))) over x (frames, channels), tile by tile, without a
   pass over memory between. `dilated` has weights (channels, kernel, channels) with an odd kernel,
   `pointwise` (channels, 1, channels). y is not x. */
typedef struct {
    const float *alpha1, *dilated, *bias1, *alpha2, *pointwise, *bias2;
    int frames, channels, kernel, dilation;
} residual_unit;

int codec_residual_unit(const residual_unit *unit, const float *x, float *y);

/* Copy frames [from, from + count) of x (frames, channels), and zeros where there are none. On the
   calling thread. */
void codec_window(const float *x, int frames, int channels, int from, int count, float *to);

#endif
