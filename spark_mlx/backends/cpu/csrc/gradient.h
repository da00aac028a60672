/* Gradients of the layers in codec_ops.h, for training on a CPU.

   The gradient of a convolution by its input is a convolution again, so only those by weights are
   here, and those of the activations. */
#ifndef SPARK_GRADIENT_H
#define SPARK_GRADIENT_H

#include "codec_ops.h"

/* The gradient of a convolution without groups by its weights, as (kernel, in, out), from its input
   and the gradient `given` of its output. Returns 0, or -1 when there is no memory. */
int gradient_conv(const float *x, const float *given, float *by_weight, const conv_sizes *sizes);

/* Of Snake: by x, and by alpha (channels,). Returns 0, or -1 when there is no memory. */
int gradient_snake(const float *x, const float *alpha, const float *given, float *by_x,
                   float *by_alpha, long frames, int channels);

/* Of GELU and SiLU, over `size` numbers. */
void gradient_gelu(const float *x, const float *given, float *by_x, long size);
void gradient_silu(const float *x, const float *given, float *by_x, long size);

/* Of softmax: from what it gave, `y`, into `given`. */
void gradient_softmax(const float *y, float *given, long rows, int columns);

#endif
